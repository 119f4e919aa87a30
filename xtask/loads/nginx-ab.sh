# A web server under load, as in the paper: nginx, `ab -c 5`.
packages="nginx-light apache2-utils"

versions() {
	nginx -v 2>&1
	ab -V | head -1
}

load() {
	mkdir -p nginx/html
	head -c 612 /dev/zero | tr '\0' x >nginx/html/index.html
	cat >nginx/nginx.conf <<-END
		worker_processes auto;
		daemon off;
		pid $PWD/nginx/pid;
		error_log $PWD/nginx/error.log;
		events { worker_connections 768; }
		http {
			access_log $PWD/nginx/access.log;
			client_body_temp_path $PWD/nginx/body;
			proxy_temp_path $PWD/nginx/proxy;
			fastcgi_temp_path $PWD/nginx/fastcgi;
			uwsgi_temp_path $PWD/nginx/uwsgi;
			scgi_temp_path $PWD/nginx/scgi;
			server { listen 127.0.0.1:18080; root $PWD/nginx/html; }
		}
	END
	chmod -R a+rwX .
	setsid nginx -e "$PWD/nginx/error.log" -c "$PWD/nginx/nginx.conf" &
	sleep 0.5
	ready
	while :; do
		ab -q -n 1000000 -c 5 http://127.0.0.1:18080/ >nginx/ab.log 2>&1 || sleep 0.2
		: >nginx/access.log
	done
}
