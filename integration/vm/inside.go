package vm

import (
	"fmt"
	"strings"
)

// accounts are the users inside, by the file's name.
var accounts = map[string]string{
	"etc/passwd":      "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n",
	"etc/group":       "root:x:0:\nalice:x:1000:\nbob:x:1001:\n",
	"etc/hosts":       "127.0.0.1 localhost\n",
	"etc/resolv.conf": "",
}

// initScript makes a root on a disk, of memory. The initramfs itself can't be left by pivot_root, and before Linux 6.6 it
// has no user attributes.
const initScript = `#!/usr/bin/busybox sh
export PATH=/usr/bin:/usr/sbin
/usr/bin/busybox --install -s /usr/bin
mount -t proc proc /proc && mount -t devtmpfs dev /dev || exit
insmod /modules/overlay.ko && insmod /modules/loop.ko || exit
truncate -s 512M /disk && losetup /dev/loop0 /disk && mke2fs -b 4096 -i 16384 /dev/loop0 >/dev/null && mount -t ext4 /dev/loop0 /mnt || exit
for part in /*; do
	case $part in
	/proc | /dev | /sys) mkdir /mnt$part ;;
	/mnt | /disk | /modules | /init) ;;
	*) cp -a $part /mnt || exit ;;
	esac
done
umount /dev /proc
exec switch_root /mnt /machine
`

// machineScript makes the checks. What the second serial line carries is parsed, see parse; the kernel's command line says
// which that is, in a word that the kernel does not know and hands on in the environment.
const machineScript = `#!/bin/sh
export PATH=/usr/local/bin:/usr/bin:/usr/sbin
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
mkdir /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=0755 run /run
mount -t securityfs security /sys/kernel/security
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
hostname machine
mkdir -p /home/alice /home/bob
chown 1000:1000 /home/alice
chown 1001:1001 /home/bob
chmod 1777 /tmp
exec </dev/null >/dev/$said 2>&1
for check in /checks/*; do
	by=${check##*.}
	echo "@@ begin"
	case $by in
	root) HOME=/root timeout 120 sh -eu "$check" ;;
	*) su "$by" -c "cd; timeout 120 sh -eu $check" ;;
	esac >/run/said 2>&1
	status=$?
	cat /run/said
	echo
	echo "@@ end $status"
done
echo "@@ done"
poweroff -f
`

// wordsScript are the words that checks are made of.
const wordsScript = `
# wants WORDS COMMAND...: it succeeds and prints these words, spaces and lines not told apart.
wants() {
	_want=$1
	shift
	_got=$("$@" 2>&1) || { echo "status $? of $*: $_got"; exit 1; }
	_got=$(echo $_got)
	[ "$_got" = "$_want" ] || { echo "$*: want '$_want', got '$_got'"; exit 1; }
}

# ends STATUS COMMAND...: what it says is left in $_got.
ends() {
	_want=$1 _status=0
	shift
	_got=$("$@" 2>&1) || _status=$?
	[ $_status = "$_want" ] || { echo "$*: want status $_want, got $_status: $_got"; exit 1; }
}

# refuses TEXT COMMAND...: status 125, one line of cause and one of remedy, and the text in one of them.
refuses() {
	_want=$1 _status=0
	shift
	_got=$("$@" 2>&1 </dev/null) || _status=$?
	if [ $_status != 125 ] || [ "$(echo "$_got" | wc -l)" != 2 ] || ! echo "$_got" | tail -n 1 | grep -q ': remedy: '; then
		echo "$*: want a refusal in two lines, got status $_status: $_got"
		exit 1
	fi
	case $_got in
	*"$_want"*) echo "refused: $_got" ;;
	*) echo "$*: no word of '$_want' in: $_got"; exit 1 ;;
	esac
}
`

// parse reads what the machine said of its checks, of which there are n, and whether it made them all.
func parse(said string, n int) (verdicts []Verdict, complete bool) {
	verdicts = make([]Verdict, n)
	var output []string
	at, ended := -1, 0
	for line := range strings.Lines(said) {
		line = strings.TrimRight(line, "\r\n")
		var status int
		switch {
		case line == "@@ begin":
			at, output = at+1, nil
		case line == "@@ done":
			return verdicts, at == n-1 && ended == n
		case at >= 0 && at < n && scan(line, &status):
			verdicts[at] = Verdict{Made: true, Status: status, Output: strings.TrimSpace(strings.Join(output, "\n"))}
			ended++
		default:
			output = append(output, line)
		}
	}
	return verdicts, false
}

func scan(line string, status *int) bool {
	n, err := fmt.Sscanf(line, "@@ end %d", status)
	return n == 1 && err == nil
}
