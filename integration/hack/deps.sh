#!/bin/sh
# Installs what building, testing, the demo and the benchmarks need from the distribution.
#
#   deps.sh [--optional] GROUP...      GROUP: build test lint real vm bench
#
#   build   C compilers for the engine's half in C and the static init, libseccomp
#   test    what the tests of the commands call
#   lint    a C compiler for another architecture
#   real    what the real-image suite is built with and pulls from
#   vm      what the tests in virtual machines boot with; kernels and programs for inside they get by themselves
#   bench   the programs that the benchmarks compare with
#
# Looks first, in milliseconds, and is silent when all is there. Otherwise it says what it installs
# and by which command. What this distribution has no package for is named; --optional turns what
# cannot be installed into a plain notice of what will be skipped, with status 0.
set -eu

# GROUP | what must be there | apt | dnf | zypper | pacman | apk      (`-`: no package known)
# `what`: a program, or an absolute path; alternatives are separated by commas.
needs='
build|gcc|gcc|gcc|gcc|gcc|gcc
build|make|make|make|make|make|make
build|pkg-config|pkg-config|pkgconf-pkg-config|pkg-config|pkgconf|pkgconf
build|/usr/include/stdlib.h|libc6-dev|glibc-devel|glibc-devel|glibc|musl-dev
build|/usr/include/seccomp.h|libseccomp-dev|libseccomp-devel|libseccomp-devel|libseccomp|libseccomp-dev
build|musl-gcc,/lib/ld-musl-x86_64.so.1,/lib/ld-musl-aarch64.so.1|musl-tools|musl-gcc|musl-devel|musl|musl-dev
test|openssl|openssl|openssl|openssl|openssl|openssl
test|/etc/ssl/certs/ca-certificates.crt,/etc/ssl/ca-bundle.pem,/etc/pki/tls/certs/ca-bundle.crt|ca-certificates|ca-certificates|ca-certificates|ca-certificates|ca-certificates
test|unshare|util-linux|util-linux|util-linux|util-linux|util-linux
test|mount|mount|util-linux|util-linux|util-linux|mount
test|newuidmap|uidmap|shadow-utils|shadow|shadow|shadow-uidmap
test|sudo|sudo|sudo|sudo|sudo|sudo
test|setpriv|util-linux|util-linux|util-linux|util-linux|setpriv
test|strace|strace|strace|strace|strace|strace
test|ldd|libc-bin|glibc-common|glibc|glibc|musl-utils
test|rpm|rpm|rpm|rpm|rpm-tools|rpm
test|rpmbuild|rpm|rpm-build|rpm-build|rpm-tools|rpm
test|zsh|zsh|zsh|zsh|zsh|zsh
test|fish|fish|fish|fish|fish|fish
test|/usr/share/bash-completion/bash_completion|bash-completion|bash-completion|bash-completion|bash-completion|bash-completion
lint|aarch64-linux-gnu-gcc|gcc-aarch64-linux-gnu|gcc-aarch64-linux-gnu|cross-aarch64-gcc13|aarch64-linux-gnu-gcc|-
lint|/usr/aarch64-linux-gnu/include/stdlib.h|libc6-dev-arm64-cross|-|-|aarch64-linux-gnu-glibc|-
real|debootstrap|debootstrap|debootstrap|debootstrap|debootstrap|debootstrap
real|docker-registry|docker-registry|-|distribution-registry|-|docker-registry
real|zypper|zypper|zypper|zypper|-|zypper
vm|qemu-system-x86_64|qemu-system-x86|qemu-system-x86-core|qemu-x86|qemu-system-x86|qemu-system-x86_64
vm|qemu-system-aarch64|qemu-system-arm|qemu-system-aarch64-core|qemu-arm|qemu-system-aarch64|qemu-system-aarch64
vm|aarch64-linux-gnu-gcc|gcc-aarch64-linux-gnu|gcc-aarch64-linux-gnu|cross-aarch64-gcc13|aarch64-linux-gnu-gcc|-
vm|/usr/aarch64-linux-gnu/include/stdlib.h|libc6-dev-arm64-cross|-|-|aarch64-linux-gnu-glibc|-
vm|xz|xz-utils|xz|xz|xz|xz
bench|debootstrap|debootstrap|debootstrap|debootstrap|debootstrap|debootstrap
bench|docker-registry|docker-registry|-|distribution-registry|-|docker-registry
bench|bwrap|bubblewrap|bubblewrap|bubblewrap|bubblewrap|bubblewrap
bench|crun|crun|crun|crun|crun|crun
bench|runc|runc|runc|runc|runc|runc
bench|rsync|rsync|rsync|rsync|rsync|rsync
bench|newuidmap|uidmap|shadow-utils|shadow|shadow|shadow-uidmap
bench|podman|podman|podman|podman|podman|podman
'

say() { printf 'deps: %s\n' "$*"; }

there() {
	_rest=$1,
	while [ -n "$_rest" ]; do
		_one=${_rest%%,*} _rest=${_rest#*,}
		case $_one in
		/*) [ ! -e "$_one" ] || return 0 ;;
		*) ! command -v "$_one" >/dev/null 2>&1 || return 0 ;;
		esac
	done
	return 1
}

usage() { sed -n '2,/^set/p' "$0" | sed 's/^# \{0,1\}//;$d' >&2; exit 2; }

optional= groups=
for arg in "$@"; do
	case $arg in
	--optional) optional=yes ;;
	build | test | lint | real | vm | bench) groups="$groups $arg" ;;
	*) usage ;;
	esac
done
[ -n "$groups" ] || usage
# Programs of the administrator are not on everybody's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

manager= column=
for pair in apt-get:3 dnf:4 zypper:5 pacman:6 apk:7; do
	if command -v "${pair%:*}" >/dev/null 2>&1; then
		manager=${pair%:*} column=${pair#*:}
		break
	fi
done

missing= packages= unknown=
for group in $groups; do
	while IFS='|' read -r of what names; do
		[ "$of" = "$group" ] || continue
		if there "$what"; then continue; fi
		missing="$missing ${what%%,*}"
		package=-
		[ -z "$column" ] || package=$(printf '%s\n' "$of|$what|$names" | cut -d'|' -f"$column")
		case " $packages $unknown " in
		*" $package "*) [ "$package" = - ] || continue ;;
		esac
		if [ "$package" = - ]; then unknown="$unknown ${what%%,*}"; else packages="$packages $package"; fi
	done <<-END
	$needs
	END
done
[ -n "$missing" ] || exit 0

# give_up REASON: what is missing stays missing.
give_up() {
	say "missing:$missing" >&2
	if [ -n "$optional" ]; then
		say "$1; what needs these (groups:$groups) will be SKIPPED" >&2
		exit 0
	fi
	say "$1" >&2
	exit 1
}

[ -n "$manager" ] || give_up "no known package manager (apt-get dnf zypper pacman apk): install them by hand"
as_root=
if [ "$(id -u)" != 0 ]; then
	if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
		as_root="sudo -n"
	else
		give_up "not root: install them with  $manager install$packages"
	fi
fi

log=$(mktemp)
policy=
clean() {
	rm -f "$log"
	[ -z "$policy" ] || $as_root rm -f "$policy"
}
trap clean EXIT
trap 'exit 130' INT TERM

# hidden: a log without the addresses in it; whose mirror a machine uses is its own affair.
hidden() {
	sed -E 's#[a-z+]+://[^[:space:]]+#<mirror>#g; s#(resolve|connect to|Connecting to|reach) [^[:space:]]+#\1 <mirror>#g' |
		grep -E '^(E|W|Err|error|Error)|rror' | tail -5
}

run() { LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive $as_root "$@" >"$log" 2>&1; }

apt_install() {
	# A freshly installed registry or podman must not start services on the machine it is tested on.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		printf '#!/bin/sh\nexit 101\n' | $as_root tee /usr/sbin/policy-rc.d >/dev/null
		$as_root chmod 0755 /usr/sbin/policy-rc.d
		policy=/usr/sbin/policy-rc.d
	fi
	# shellcheck disable=SC2086 # a list of packages
	set -- apt-get install -q -y --no-install-recommends -o Acquire::Retries=2 -o DPkg::Lock::Timeout=300 $packages
	if apt-get install -s -q $packages >/dev/null 2>&1 && run "$@"; then return 0; fi
	say "refreshing the package lists (apt-get update)"
	run apt-get update -q -o Acquire::Retries=2 || return 1
	run "$@"
}

if [ -n "$packages" ]; then
	say "missing:$missing"
	say "installing by $manager:$packages"
	case $manager in
	apt-get) apt_install ;;
	dnf) run dnf install -y $packages ;;
	zypper) run zypper --non-interactive install --no-recommends $packages ;;
	pacman) run pacman -Sy --noconfirm --needed $packages ;;
	apk) run apk add $packages ;;
	esac || {
		hidden <"$log" >&2 || :
		give_up "$manager could not install$packages: is a package mirror in reach?"
	}
fi
[ -z "$unknown" ] || missing=$unknown give_up "this distribution has no known package for:$unknown"
say "done"
