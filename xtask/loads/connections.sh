# A server with a process for each of 8 connections, which journals each sixth request and syncs, and a client with 2 threads.
packages="python3-minimal libpython3-stdlib"

versions() { /usr/bin/python3 --version; }

load() {
	cat >server.py <<-END
		import fcntl, hashlib, os, socket
		server = socket.socket(socket.AF_UNIX)
		server.bind("server.sock")
		server.listen(8)
		def serve(connection):
		    journal = os.open("journal", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
		    block = bytes(6000)
		    while True:
		        request = connection.recv(64)
		        if not request:
		            return
		        number = int(request)
		        answer = hashlib.sha256(block[: 500 + number * 997 % 5000]).hexdigest()
		        if number % 6 == 5:
		            fcntl.flock(journal, fcntl.LOCK_EX)
		            os.write(journal, answer.encode())
		            os.fdatasync(journal)
		            if os.fstat(journal).st_size > 1 << 24:
		                os.ftruncate(journal, 0)
		            fcntl.flock(journal, fcntl.LOCK_UN)
		        connection.send(answer.encode())
		while True:
		    connection, _ = server.accept()
		    if os.fork() == 0:
		        serve(connection)
		        os._exit(0)
		    connection.close()
	END
	cat >client.py <<-END
		import selectors, socket, threading
		def ask():
		    waiting = selectors.DefaultSelector()
		    for number in range(4):
		        connection = socket.socket(socket.AF_UNIX)
		        connection.connect("server.sock")
		        connection.send(b"%d" % number)
		        waiting.register(connection, selectors.EVENT_READ, number)
		    while True:
		        for key, _ in waiting.select():
		            key.fileobj.recv(256)
		            number = key.data + 1
		            waiting.modify(key.fileobj, selectors.EVENT_READ, number)
		            key.fileobj.send(b"%d" % number)
		for _ in range(2):
		    threading.Thread(target=ask).start()
	END
	/usr/bin/python3 server.py &
	until [ -S server.sock ]; do sleep 0.1; done
	ready
	/usr/bin/python3 client.py
}
