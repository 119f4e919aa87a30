# A web server beside a compile.
members="nginx-ab compile"
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
