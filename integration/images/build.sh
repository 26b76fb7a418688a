#!/bin/sh
# Builds the real images of the test suite once and keeps them outside the repository.
#
#   build.sh NAME...     NAME: bookworm basepython aws bullseye
#
# Prints one line `NAME<TAB>DIRECTORY` for each on stdout; progress goes to stderr. In DIRECTORY:
#   NAME.tar        docker-archive, layers uncompressed, as KIWI writes them
#   layers/*.tar    the same layers, bottom first by name
#   rootfs/         (bookworm, bullseye) the plain tree
#   facts           how it was made and how long it took
#
# A directory is named by the hash of its recipe, of lib.sh and of what it is built on; it is made
# beside the cache and renamed, so it is complete or absent. Status: 0 all there, 3 an image
# could not be built because of what this machine lacks (package mirror, root, a program): the last
# line on stderr says what; anything else is a fault of the recipe.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
module=$(cd "$here/../.." && pwd)
cache=${FLAKE_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/flake-launcher/images}
format=1 # of what a directory holds; raised when this file or mkimage changes that
. "$here/mirror.sh"

say() { printf 'images: %s\n' "$*" >&2; }
unavailable() { say "cannot build: $*"; exit 3; }

parent_of() {
	case $1 in
	bookworm | bullseye) ;;
	basepython) echo bookworm ;;
	aws) echo basepython ;;
	*) say "unknown image '$1' (known: bookworm basepython aws bullseye)"; exit 2 ;;
	esac
}

suite_of() {
	case $1 in
	bullseye) echo bullseye ;;
	*) echo bookworm ;;
	esac
}

key_of() {
	_parent=$(parent_of "$1")
	_below=none
	[ -z "$_parent" ] || _below=$(key_of "$_parent")
	{ echo "$format $_below"; uname -m; cat "$here/lib.sh" "$here/recipes/$1.sh"; } |
		sha256sum | cut -c1-16
}

dir_of() { echo "$cache/$1-$(key_of "$1")"; }

# require SUITE
require() {
	[ "$(id -u)" = 0 ] || unavailable "needs root (debootstrap, overlay mounts)"
	for _p in debootstrap unshare mount tar find go; do
		command -v "$_p" >/dev/null 2>&1 ||
			unavailable "program '$_p' is missing; install it with integration/hack/deps.sh test"
	done
	[ -e "/usr/share/debootstrap/scripts/$1" ] ||
		unavailable "this debootstrap does not know $1"
}

# check_mirror SUITE
check_mirror() {
	MIRROR=$(mirror "$1")
	[ -n "$MIRROR" ] || unavailable "no Debian package mirror is configured on this host (set FLAKE_TEST_MIRROR)"
	export MIRROR
	_probe=$cache/.probe-$$
	if ! timeout 60 /usr/lib/apt/apt-helper download-file \
		"${MIRROR%/}/dists/$1/InRelease" "$_probe" >/dev/null 2>&1; then
		rm -f "$_probe"
		unavailable "the host's package mirror does not answer for $1"
	fi
	rm -f "$_probe"
}

tool() {
	[ -z "${MKIMAGE:-}" ] || return 0
	MKIMAGE=$cache/.tmp-$$/mkimage
	mkdir -p "$cache/.tmp-$$"
	(cd "$module" && CGO_ENABLED=0 go build -buildvcs=false -o "$MKIMAGE" ./integration/mkimage) >&2 ||
		{ say "building mkimage went wrong"; exit 1; }
	export MKIMAGE
}

build() {
	_name=$1
	_dir=$(dir_of "$_name")
	if [ -d "$_dir" ]; then
		touch "$_dir"
		return
	fi
	_up=$(parent_of "$_name")
	if [ -n "$_up" ]; then
		build "$_up"
		_name=$1
		_dir=$(dir_of "$_name")
		_up=$(parent_of "$_name")
	fi
	_suite=$(suite_of "$_name")
	require "$_suite"
	[ "${checked:-}" = "$_suite" ] || check_mirror "$_suite"
	checked=$_suite
	tool
	say "building '$_name' (once; kept in the cache)"
	_start=$(date +%s)
	_out=$cache/.tmp-$$/$_name
	mkdir -p "$_out/layers" "$cache/apt/lists/partial" "$cache/apt/archives/partial"
	# Own mount and pid namespace: whatever a recipe mounts or starts is gone with it.
	if ! env OUT="$_out" BOOKWORM="$(dir_of bookworm)" BASEPYTHON="$(dir_of basepython)" APT="$cache/apt" SUITE="$_suite" \
		unshare -m -p -f --kill-child --propagation private \
		sh -eu -c '. "$1/lib.sh"; . "$1/recipes/$2.sh"' recipe "$here" "$_name" >"$_out/log" 2>&1; then
		sed "s|$MIRROR|<mirror>|g" "$_out/log" | tail -25 >&2
		if grep -qE 'Unable to fetch|Failed to fetch|Temporary failure|Could not connect|Couldn.t download' "$_out/log"; then
			unavailable "the package mirror failed while '$_name' was being built"
		fi
		say "recipe '$_name' went wrong"
		exit 1
	fi
	rm -f "$_out/log"
	{
		echo "recipe $_name $(key_of "$_name")"
		echo "seconds $(($(date +%s) - _start))"
		echo "archive_bytes $(stat -c %s "$_out/$_name.tar")"
	} >"$_out/facts"
	sync -f "$_out/facts"
	mv -T "$_out" "$_dir"
	say "built '$_name' in $(($(date +%s) - _start)) s"
	# Recipes change: what no test has touched for a month goes.
	find "$cache" -mindepth 1 -maxdepth 1 -type d -name "$_name-*" ! -path "$_dir" -mtime +30 \
		-exec rm -rf {} + || :
}

[ $# -gt 0 ] || { sed -n '2,/^set/p' "$0" | sed 's/^# \{0,1\}//;$d'; exit 2; }
for name in "$@"; do parent_of "$name" >/dev/null; done
all=yes
for name in "$@"; do [ -d "$(dir_of "$name")" ] || all=; done
if [ -z "$all" ]; then
	mkdir -p "$cache"
	exec 9>"$cache/.lock"
	flock 9 # a second run waits, then finds everything built
	trap 'rm -rf "$cache/.tmp-$$"' EXIT
	trap 'exit 130' INT TERM
fi
for name in "$@"; do
	build "$name" 9>&-
	printf '%s\t%s\n' "$name" "$(dir_of "$name")"
done
