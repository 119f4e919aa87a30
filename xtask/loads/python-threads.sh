# 6 threads of one interpreter: 3 fill a bounded queue, 3 empty it and hash what they get.
packages="python3-minimal libpython3-stdlib"

versions() { /usr/bin/python3 --version; }

load() {
	cat >threads.py <<-END
		import hashlib, queue, threading
		blocks = queue.Queue(8)
		def fill(seed):
		    size = 20000
		    while True:
		        size = (size * 1103515245 + seed) % 60000 + 1000
		        blocks.put(bytes(size))
		def empty():
		    while True:
		        hashlib.sha256(blocks.get()).hexdigest()
		for each in range(3):
		    threading.Thread(target=fill, args=(12345 + each,)).start()
		    threading.Thread(target=empty).start()
	END
	ready
	/usr/bin/python3 threads.py
}
