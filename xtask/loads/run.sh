#!/bin/bash
# Runs one of the loads beside this file for ever, or prints the versions of what it runs.
#
#   run.sh NAME run DIR      DIR is an empty scratch directory; the caller pins, and ends everything by a kill
#   run.sh NAME versions
#
# A load is a file NAME.sh that sets `packages` (Debian's) and defines `versions` (one line a program) and
# `load`, which prepares in the working directory and then keeps the CPU busy until it is killed.
set -eu
here=$(dirname "$(readlink -f "$0")")
name=$1
# shellcheck source=/dev/null
. "$here/$name.sh"
case $2 in
versions) versions ;;
packages) echo "$packages" ;;
run)
	cd "$3"
	load
	;;
*)
	echo "run.sh: $2 is neither run, versions nor packages" >&2
	exit 2
	;;
esac
