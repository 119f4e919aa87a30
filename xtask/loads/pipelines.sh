# Shell pipelines over files: programs start, pass data on through pipes and end.
packages=""

versions() {
	bash --version | head -1
	gzip --version | head -1
}

load() {
	(while :; do find /usr/share -type f 2>/dev/null | head -1000 | xargs cat 2>/dev/null | gzip -1 | wc -c >/dev/null; done) &
	(while :; do tar -c /usr/share/doc 2>/dev/null | gzip -6 | cat >/dev/null; done) &
	(while :; do ls -R /usr/lib 2>/dev/null | sort | uniq -c | sort -n | tail -20 >/dev/null; done) &
	ready
	wait
}
