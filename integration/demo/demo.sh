#!/bin/sh
# A flake from nothing, in seconds, without a registry or a package mirror: a base made of this
# machine's own shell and tools, a delta with one small app, and files that only the host has.
#
#   demo.sh [BIN]      BIN: directory of the built binaries, default bin/ of the module
#
# Everything happens below one temporary directory, which is removed at the end.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
module=$(cd "$here/../.." && pwd)
bin=${1:-$module/bin}

say() { printf '\n== %s\n' "$*"; }
show() {
	printf '$ %s\n' "$*" | sed "s|$work|\$DEMO|g; s|$bin/||g"
	"$@" >"$work/said" 2>&1 && status=0 || status=$?
	sed "s|$work|\$DEMO|g; s|^|  |" "$work/said"
	[ "$status" = 0 ] || die "that ended with status $status"
}
die() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}

for b in flake-ctl flake-run flake-launcher; do
	[ -x "$bin/$b" ] || die "no $b in $bin; run \`make build\` first"
done
PATH=$PATH:/usr/sbin:/sbin
for p in openssl ldd cksum; do
	command -v "$p" >/dev/null || die "$p is missing; integration/hack/deps.sh test installs it"
done
bundle=/etc/ssl/certs/ca-certificates.crt
[ -s "$bundle" ] || die "this host has no CA bundle at $bundle; integration/hack/deps.sh test installs it"

work=$(mktemp -d)
chmod 0755 "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
base=$work/base delta=$work/delta
mkdir "$base" "$delta" "$work/links"
export FLAKES_ROOT="$work/flakes"

# skeleton DIR: the top of a root filesystem, merged or not as the host's own is.
skeleton() {
	mkdir -p "$1/usr/bin" "$1/usr/sbin" "$1/usr/lib" "$1/etc" "$1/dev" "$1/proc" "$1/sys" "$1/run" "$1/root"
	mkdir -m 1777 "$1/tmp"
	for d in bin sbin lib lib64 lib32 libx32; do
		[ -e "/$d" ] || continue
		if [ -L "/$d" ]; then
			mkdir -p "$1/usr/$d"
			ln -s "usr/$d" "$1/$d"
		else
			mkdir -p "$1/$d"
		fi
	done
}

# libraries PROGRAM: what the dynamic linker takes for it, itself included.
libraries() { ldd "$1" 2>/dev/null | grep -o '/[^ ]*' || :; }

# take ROOT PATH: the host's file at the same place below ROOT, once.
take() {
	[ -e "$1$2" ] || { mkdir -p "$1$(dirname "$2")" && cp -L "$2" "$1$2"; }
}

say "1. a base of this host's own shell and tools, a delta with the app certcheck"
skeleton "$base"
for p in sh cat cksum grep head ls printf sed; do
	file=$(command -v "$p") || continue
	case $file in /*) ;; *) file=/usr/bin/$p ;; esac # a shell's builtin
	[ -e "$file" ] || continue
	take "$base" "$file"
	for lib in $(libraries "$file"); do take "$base" "$lib"; done
done
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$base/etc/passwd"
printf 'root:x:0:\n' >"$base/etc/group"

mkdir -p "$delta/usr/bin"
cp "$here/certcheck.sh" "$delta/usr/bin/certcheck"
# The removed manifest, as an image builder leaves it: what the image had and the host has to supply.
{
	for f in "$(command -v openssl)" "$bundle" $(libraries "$(command -v openssl)"); do
		[ -e "$base$f" ] || printf '%s\n' "${f#/}"
	done
	for f in /usr/lib/ssl/openssl.cnf /etc/ssl/openssl.cnf; do
		[ ! -e "$f" ] || printf '%s\n' "${f#/}"
	done
} >"$delta/removed"
printf '  base:  %s files, %s KiB\n' "$(find "$base" -type f | wc -l)" "$(du -sk "$base" | cut -f1)"
printf '  delta: usr/bin/certcheck, and in its list of removed files:\n'
sed 's/^/           /' "$delta/removed"

(cd "$module" && CGO_ENABLED=0 go build -buildvcs=false -o "$work/mkimage" ./integration/mkimage)
for name in base delta; do
	"$work/mkimage" layer --output "$work/$name.layer" "$work/$name"
	"$work/mkimage" image --output "$work/demo$name.tar.gz" --name "demo$name:latest" --cmd /bin/sh "$work/$name.layer"
done

say "2. load both, register the command"
show "$bin/flake-ctl" load "$work/demobase.tar.gz"
show "$bin/flake-ctl" load "$work/demodelta.tar.gz"
show "$bin/flake-ctl" register --container demodelta --base demobase \
	--app "$work/links/certcheck" --target /usr/bin/certcheck
show "$bin/flake-ctl" list

say "3. run it like any other command"
show "$work/links/certcheck"

say "4. which file came from where"
printf '  %-44s %s\n' "FILE AS THE APP SEES IT" "FROM"
wrong=
for f in "$(command -v sh)" "$(command -v cksum)" /usr/bin/certcheck $(sed 's|^|/|' "$delta/removed"); do
	case $f in /*) ;; *) continue ;; esac
	inside=$("$work/links/certcheck" sums "$f" 2>/dev/null | cut -d' ' -f1,2) || inside=missing
	from="UNKNOWN ($inside)"
	# Topmost first; a file of neither image that looks like the host's is the host's.
	for origin in "delta $delta" "base $base" "host "; do
		tree=${origin#* }
		[ -e "$tree$f" ] || continue
		[ "$(cksum <"$tree$f" | cut -d' ' -f1,2)" = "$inside" ] && from=${origin%% *}
		break
	done
	case $from in UNKNOWN*) wrong="$wrong $f" ;; esac
	printf '  %-44s %s\n' "$f" "$from"
done
[ -z "$wrong" ] || die "not as in any of the three:$wrong"

say "5. take it away again"
show "$bin/flake-ctl" remove "$work/links/certcheck"
[ ! -e "$work/links/certcheck" ] || die "the link is still there"
! grep -q " $work" /proc/self/mountinfo || die "a mount was left behind"
printf '  no link, no mount, no process is left; the throw-away root goes now\n'
