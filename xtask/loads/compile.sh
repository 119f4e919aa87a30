# A compile of this project's own tool with its dependencies, -j4, from nothing, again and again.
packages=""
manifest=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../Cargo.toml

versions() {
	cargo --version
	rustc --version
}

load() {
	ready
	while :; do
		rm -rf compile
		cargo build -q -j4 --offline --manifest-path "$manifest" -p xtask --target-dir "$PWD/compile" || sleep 1
	done
}
