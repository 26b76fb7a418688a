package vm

// hierarchy has the caller in a cgroup of its own, below one of a site that gives its controllers on, in a machine that has
// no other hierarchy than version 2. $leaf finds the cgroup of a start that is under way.
const hierarchy = `
	wants "/sys/fs/cgroup cgroup2" awk '$3 ~ /cgroup/ { print $2, $3 }' /proc/mounts
	top=/sys/fs/cgroup
	site=$top/site
	own=$site/own
	for dir in $top $site; do
		[ -d $dir ] || mkdir $dir
		echo "+memory +pids +cpu" >$dir/cgroup.subtree_control
	done
	[ -d $own ] || mkdir $own
	echo $$ >$own/cgroup.procs
	tree() { find $top -type d | sort; }
	settings() { grep -H "" $own/cpu.max $own/memory.max $own/memory.swap.max $own/pids.max $own/cgroup.subtree_control $own/cgroup.type $site/cgroup.type; }
	before=$(tree; settings)
	untouched() {
		[ "$(tree; settings)" = "$before" ] || { echo "cgroups before: $before; after: $(tree; settings)"; exit 1; }
	}
	ended() {
		_status=0
		wait $! || _status=$?
		[ $_status = $1 ] || { echo "want status $1, got $_status"; exit 1; }
	}
	leaf() {
		for _n in 1 2 3 4 5 6 7 8 9 10; do
			for leaf in $site/flake-launcher-*; do
				[ ! -d $leaf ] || ! grep -q ready $HOME/ready || return 0
			done
			sleep 1
		done
		echo "no cgroup of the start's own: $(tree)"
		exit 1
	}
`

// limits are those of apps that root starts.
var limits = []Check{
	{"limit of memory", "root", hierarchy + `
		wants 16 flake-run --opt "--memory 64m" probe /bin/probe fill 16
		ends 137 flake-run --opt "--memory 64m" probe /bin/probe fill 256
		wants 256 flake-run probe /bin/probe fill 256
		untouched`},
	{"limit of processes", "root", hierarchy + `
		wants true flake-run --opt "--pids-limit 20" probe /bin/probe crowd 50
		wants all flake-run probe /bin/probe crowd 50
		untouched`},
	{"limit of processors", "root", hierarchy + `
		flake-run --opt "--cpus 0.5" --opt "--memory 64m" --opt "--pids-limit 20" probe /bin/sh -c "echo ready; while :; do :; done" >$HOME/ready &
		leaf
		wants "50000 100000 67108864 20" cat $leaf/cpu.max $leaf/memory.max $leaf/pids.max
		sleep 3
		throttled=$(awk '$1 == "nr_throttled" { print $2 }' $leaf/cpu.stat)
		[ $throttled -gt 3 ] || { cat $leaf/cpu.stat; exit 1; }
		used=$(awk '$1 == "usage_usec" { print $2 }' $leaf/cpu.stat)
		sleep 4
		used=$(($(awk '$1 == "usage_usec" { print $2 }' $leaf/cpu.stat) - used))
		[ $used -gt 1000000 ] && [ $used -lt 2600000 ] || { echo "it had $used us in 4 s"; exit 1; }
		kill $!
		ended 143
		untouched`},
	{"limits of what was killed", "root", hierarchy + `
		flake-run --opt "--pids-limit 20" probe /bin/probe wait >$HOME/ready &
		leaf
		kill -9 $!
		ended 137
		wants 16 flake-run --opt "--memory 64m" probe /bin/probe fill 16
		untouched`},
	{"limits that the app can't lift", "root", hierarchy + `
		wants "" flake-run --opt "--memory 64m" probe /bin/ls -A /sys/fs/cgroup
		wants "EROFS" flake-run --opt "--memory 64m" probe /bin/probe touch /sys/x
		untouched`},
	{"limits of an unlimited caller", "root", `
		wants 0::/ cat /proc/self/cgroup
		ends 137 flake-run --opt "--memory 64m" probe /bin/probe fill 256
		wants "" find /sys/fs/cgroup -type d -name "flake*"`},
	{"limits beside processes", "root", hierarchy + `
		mkdir -p $top/full/own
		echo $$ >$top/full/own/cgroup.procs
		sleep 60 >/dev/null 2>&1 &
		echo $! >$top/full/cgroup.procs
		given=$(echo $(cat $top/full/cgroup.subtree_control $top/full/cgroup.type $top/full/own/cgroup.type))
		refuses "processes of its own, and so can't give on the controllers that the limits take: memory" flake-run --opt "--memory 64m" probe /bin/probe id
		refuses "that the limits take: cpu, pids" flake-run --opt "--pids-limit 20" --opt "--cpus 0.5" probe /bin/probe id
		wants "$given" cat $top/full/cgroup.subtree_control $top/full/cgroup.type $top/full/own/cgroup.type
		wants "$top/full $top/full/own" find $top/full -type d
		wants "0:0 root" flake-run probe /bin/probe id
		kill $!`},
}
