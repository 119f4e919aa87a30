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
# the CPU busy until it is killed.
set -eu
here=$(dirname "$(readlink -f "$0")")
name=$1
# shellcheck source=/dev/null
. "$here/$name.sh"

scratch=
ready() { : >"$scratch/ready"; }

run_in() {
	cd "$1"
	scratch=$PWD
	load
}

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
