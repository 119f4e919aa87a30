#!/bin/bash
# Runs one of the loads beside this file, or prints the versions of what it runs.
#
#   run.sh NAME run DIR          for ever; DIR is an empty scratch directory; the caller pins, and ends everything by a kill
#   run.sh NAME run-to-eof DIR   until standard input ends; then kills everything and removes DIR. Only as the first
#                                process of a pid namespace of its own: no load outlives its bench, however that ends
#   run.sh NAME versions
#   run.sh NAME packages
#
# A load is a file NAME.sh that sets `packages` (Debian's) and defines `versions` (one line a program) and
# `load`, which prepares in the working directory, calls `ready` (the file DIR/ready then exists), and keeps
# the CPU busy until it is killed; or one that names others in `together`: they all at once, ready when all are.
set -eu
here=$(dirname "$(readlink -f "$0")")
name=$1

scratch=
ready() { : >"$scratch/ready"; }

each() { for one in $together; do bash "$here/run.sh" "$one" "$1"; done; }

all_at_once() {
	for one in $together; do
		mkdir "$one"
		chmod a+rwx "$one" .
		bash "$here/run.sh" "$one" run "$PWD/$one" &
	done
	for one in $together; do
		until [ -e "$one/ready" ]; do sleep 0.1; done
	done
	ready
	wait
}

run_in() {
	cd "$1"
	scratch=$PWD
	load
}

together=
# shellcheck source=/dev/null
. "$here/$name.sh"
if [ -n "$together" ]; then
	packages=$(each packages | xargs)
	versions() { each versions; }
	load() { all_at_once; }
fi

case $2 in
versions) versions ;;
packages) echo "$packages" ;;
run) run_in "$3" ;;
run-to-eof)
	if [ $$ -ne 1 ]; then
		echo "run.sh: run-to-eof has to be the first process of a pid namespace: unshare --pid --fork --mount-proc" >&2
		exit 2
	fi
	exec 3<&0
	run_in "$3" </dev/null 3<&- &
	load=$!
	cat <&3 >/dev/null &
	wait -n || :
	status=0
	if ! kill -0 $load 2>/dev/null; then
		echo "run.sh: $name ended by itself" >&2
		status=1
	fi
	# From the first process of a namespace: all others in it.
	kill -KILL -1 2>/dev/null || :
	wait 2>/dev/null || :
	rm -rf --one-file-system -- "$3"
	exit $status
	;;
*)
	echo "run.sh: $2 is none of run, run-to-eof, versions, packages" >&2
	exit 2
	;;
esac
