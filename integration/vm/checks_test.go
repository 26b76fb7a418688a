package vm

// each has a check made by root and by an ordinary user, each over a store of his own.
func each(name, script string) []Check {
	return []Check{{name, "root", script}, {name, "alice", script}}
}

func join(groups ...[]Check) (all []Check) {
	for _, group := range groups {
		all = append(all, group...)
	}
	return all
}

// change is what needs attributes of overlayfs in the writable part: whiteouts, opaque directories, copies of files.
const change = `
	changes='echo new >/tmp/file && cat /tmp/file
		rm -r /etc/tree && mkdir /etc/tree && ls -A /etc/tree
		rmdir /etc/empty && ls -d /etc/empty 2>/dev/null || echo gone
		rm /etc/gone 2>/dev/null || echo none
		echo changed >/etc/origin && mv /etc/origin /etc/moved && cat /etc/moved
		chmod 0600 /etc/base && stat -c %a /etc/base'
	changed="new gone none changed 600"
	delta="--base probe --layer layer"
`

// home has a working directory in a home where the layer has something, too.
const home = `
	delta="--base probe --layer layer"
	mkdir -p $HOME/project
	cd $HOME/project
`

// everywhere are the checks of all kernels.
var everywhere = join(
	each("load", `
		for image in probe layer delta; do flake-ctl load /images/$image.tar 2>&1; done
		wants "docker.io/library/delta:latest docker.io/library/layer:latest docker.io/library/probe:latest" \
			sh -c "flake-ctl images | awk 'NR > 1 { print \$1 }' | sort -u"`),
	[]Check{{"root's images, by somebody who has none", "bob", `
		wants "1001:1001 bob" flake-run probe /bin/probe id
		wants "ok EACCES" flake-run probe /bin/probe touch /tmp/x /etc/x`}},
	each("register, start by link", `
		mkdir -p $HOME/bin
		flake-ctl register --container delta --base probe --layer layer --app $HOME/bin/app --target /bin/probe 2>&1
		wants "$(id -u):$(id -g) $(id -un)" $HOME/bin/app id
		wants "delta l b the host's" $HOME/bin/app cat /etc/origin /etc/layer /etc/base /etc/host-file
		wants "none" $HOME/bin/app stat /etc/gone
		wants '["a b","","-x"]' $HOME/bin/app args "a b" "" -x
		ends 42 $HOME/bin/app exit 42
		ends 143 $HOME/bin/app raise 15`),
	each("a flake of root's, by everybody", `
		if [ $(id -u) = 0 ]; then
			mkdir -p /usr/local/bin
			flake-ctl register --container probe --app /usr/local/bin/common --target /bin/probe 2>&1
		fi
		wants "$(id -u):$(id -g) $(id -un)" common id`),
	each("writable part by default", change+`
		wants "$changed" flake-run $delta delta /bin/sh -c "$changes"
		wants "$changed" flake-run $delta delta /bin/sh -c "$changes"`),
	each("writable part on disk", change+`
		wants "$changed" flake-run --writable disk $delta delta /bin/sh -c "$changes"
		store=$HOME/.local/share/flakes
		[ $(id -u) != 0 ] || store=/var/lib/flakes
		wants "" sh -c "ls $store/tmp | grep -v ^lock- || :"`),
	each("no writable part", change+`
		wants "EROFS EROFS" flake-run --writable none $delta delta /bin/probe touch /etc/x /tmp/x
		wants "delta l" flake-run --writable none $delta delta /bin/cat /etc/origin /etc/layer`),
	each("an empty home over the images'", home+`
		for writable in "" "--writable disk" "--writable none"; do
			wants "project" flake-run $writable $delta delta /bin/ls -A $HOME
		done
		wants "EROFS EROFS ok" flake-run --writable none $delta delta /bin/probe touch $HOME/x /etc/x $HOME/project/x`),
	each("signals", `
		for signal in 1 2 6 9 15 31 34 64; do
			ends $((128 + signal)) $HOME/bin/app raise $signal
		done
		ready=$HOME/ready
		for signal in 1 10 15 35 62; do
			$HOME/bin/app wait $signal >$ready &
			for i in 1 2 3 4 5 6 7 8 9; do grep -q ready $ready || sleep 1; done
			kill -$signal $!
			status=0
			wait $! || status=$?
			wants "ready $signal 7" echo $(cat $ready) $status
		done`),
	each("system calls", `
		filters() { flake-run probe /bin/probe status Seccomp NoNewPrivs | tail -n 2; }
		wants "NoNewPrivs: 1 Seccomp: 2" filters
		for busybox in busybox busybox32; do
			wants "here" flake-run probe $busybox echo here
			ends 1 flake-run probe $busybox unshare -r -u $busybox hostname other
			wants "hostname: sethostname: Operation not permitted" echo $_got
			ends 0 flake-run --opt "--security-opt seccomp=unconfined" probe $busybox unshare -r -u $busybox hostname other
		done`),
	[]Check{{"libcontainer", "root", change + home + `
		wants "$changed" flake-run --engine libcontainer $delta delta /bin/sh -c "$changes"
		wants "project" flake-run --engine libcontainer $delta delta /bin/ls -A $HOME
		wants "project" flake-run --engine libcontainer --writable none $delta delta /bin/ls -A $HOME`}},
)

// before66 is about a tmpfs without user attributes.
var before66 = each("writable part on a tmpfs", change+`
	refuses "--writable disk" flake-run --writable tmpfs $delta delta /bin/sh -c "$changes"`)

var since66 = join(
	each("writable part on a tmpfs", change+`
		wants "$changed" flake-run --writable tmpfs $delta delta /bin/sh -c "$changes"`),
	// Those with "plan and checks" as their first phase were left to Go.
	each("start without Go", `
		first() { FLAKE_TRACE=1 "$@" 2>&1 | awk '$5 == "outside" { $1 = $2 = $3 = $4 = $5 = ""; print; exit }'; }
		for command in "$HOME/bin/app id" "common id" "flake-run probe /bin/probe id"; do
			ends 0 $command
			wants "plan" first $command
		done
		wants "plan and checks" first flake-run --writable none probe /bin/probe id`),
)

// knobs bar ordinary users from user namespaces; the messages name them. Root needs none.
var knobs = []Check{
	{"bar by kernel.unprivileged_userns_clone", "root", `
		sysctl -w kernel.unprivileged_userns_clone=0
		wants "0:0 root" common id`},
	{"start behind it", "alice", `
		refuses "kernel.unprivileged_userns_clone=1" $HOME/bin/app id
		refuses "kernel.unprivileged_userns_clone=1" common id
		refuses "kernel.unprivileged_userns_clone=1" flake-run probe /bin/probe id
		ends 0 flake-ctl images`},
	{"bar by user.max_user_namespaces", "root", `
		sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=0
		wants "0:0 root" common id`},
	{"start behind that", "alice", `
		refuses "user.max_user_namespaces=15000" $HOME/bin/app id
		refuses "user.max_user_namespaces=15000" common id
		refuses "user.max_user_namespaces=15000" flake-run probe /bin/probe id
		ends 0 flake-ctl images`},
	{"no bar", "root", `
		sysctl -w user.max_user_namespaces=1000`},
	{"start without a bar", "alice", `
		wants "1000:1000 alice" $HOME/bin/app id`},
}

// removal is by our own means, and leaves nothing.
var removal = each("removal", `
	flake-ctl remove app
	store=$HOME/.local/share/flakes
	if [ $(id -u) = 0 ]; then
		store=/var/lib/flakes
		flake-ctl remove common
	fi
	for image in delta layer probe; do flake-ctl remove --container $image; done
	flake-ctl gc
	wants "" find $store/layers $store/images $store/plans $store/tmp -type f ! -name 'lock-*'
	ends 1 ls $HOME/bin/app`)

// appArmor3 has no rule about user namespaces: its parser does not know our profile, and the kernel bars nobody.
var appArmor3 = []Check{
	{"AppArmor without a rule for user namespaces", "root", `
		wants Y cat /sys/module/apparmor/parameters/enabled
		ends 1 apparmor_parser -K /etc/apparmor.d/flake-launcher
		echo "$_got" | grep abi/4.0
		ends 1 grep -r userns_create /sys/kernel/security/apparmor/features`},
	{"start without our profile", "alice", `
		wants "1000:1000 alice" $HOME/bin/app id`},
}

// restricted are profiles of a site that lets users do all but make user namespaces, and hands over to profiles by path.
// What lies in a memory file is disconnected and deleted, as AppArmor has it, and its path is "/".
const restricted = `abi <abi/4.0>,
profile restricted flags=(attach_disconnected, mediate_deleted) {` + allBut + `}
profile confined {` + allBut + `}
`

const allBut = `
  allow /{,**} mrwlk,
  allow /{,**} pix,
  allow capability,
  allow network,
  allow mount,
  allow umount,
  allow pivot_root,
  allow signal,
  allow ptrace,
  allow unix,
`

// enter defines a word that has a shell within the profile run a command.
const enter = `
	within() {
		_profile=$1
		shift
		sh -c 'echo -n "exec '$_profile'" >/proc/self/attr/exec && exec sh -c "\"\$@\"" sh "$@"' sh "$@"
	}
`

var appArmor4 = []Check{
	{"AppArmor takes the profile", "root", `
		wants Y cat /sys/module/apparmor/parameters/enabled
		grep -r userns_create /sys/kernel/security/apparmor/features
		wants "" apparmor_parser -K /etc/apparmor.d/flake-launcher
		wants "" apparmor_parser -K /etc/apparmor.d/restricted
		grep "^flake-launcher (unconfined)" /sys/kernel/security/apparmor/profiles`},
	{"it is ours, from the launcher to the app's parent", "alice", `
		wants "1000:1000 alice" $HOME/bin/app id
		$HOME/bin/app wait >/tmp/ready &
		for i in 1 2 3 4 5 6 7 8 9; do [ -s /tmp/ready ] || sleep 1; done
		wants "flake-launcher (unconfined)" cat /proc/$!/attr/current
		pid1=$(cat /proc/$!/task/$!/children)
		wants "flake-launcher (unconfined)" cat /proc/${pid1% }/attr/current
		kill $!`},
	{"it permits us, and nobody else", "alice", enter + `
		wants "restricted (enforce)" within restricted cat /proc/self/attr/current
		ends 1 within restricted unshare -U true
		wants "1000:1000 alice" within restricted $HOME/bin/app id
		wants "1000:1000 alice" within restricted common id
		wants "1000:1000 alice" within restricted flake-run probe /bin/probe id
		mkdir -p $HOME/copy
		cp /usr/local/bin/flake-launcher $HOME/copy/app
		refuses "make user namespace: permission denied" within restricted $HOME/copy/app id`},
	{"without it nobody may", "root", `
		wants "" apparmor_parser -R /etc/apparmor.d/flake-launcher`},
	{"start without it", "alice", enter + `
		refuses "AppArmor bars it: install our profile" within restricted $HOME/bin/app id
		refuses "AppArmor bars it" within confined $HOME/bin/app id
		wants "1000:1000 alice" $HOME/bin/app id`},
}
