# A web server beside processes that never sleep.
members="nginx-ab cpu-4"
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
