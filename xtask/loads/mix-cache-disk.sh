# redis beside synchronous writers and threads that compute.
members="redis dd-sync sysbench-cpu"
# shellcheck disable=SC2086
packages=$(packages_of $members)

# shellcheck disable=SC2086
versions() { versions_of $members; }

load() {
	# shellcheck disable=SC2086
	together $members
	ready
	wait
}
