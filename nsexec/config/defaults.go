package config

// DefaultCaps are the capabilities that an app keeps: podman's. Notably absent are CAP_MKNOD (so that no device
// cgroup is needed) and CAP_NET_RAW.
var DefaultCaps = []string{
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_NET_BIND_SERVICE",
	"CAP_SETFCAP",
	"CAP_SETGID",
	"CAP_SETPCAP",
	"CAP_SETUID",
	"CAP_SYS_CHROOT",
}

// DefaultMasked are paths that an app finds empty: they tell about, or reach into, the host beyond what its
// namespaces separate. Podman's list, as its version 5 has it, plus the host's block devices.
var DefaultMasked = []string{
	"/proc/acpi",
	"/proc/interrupts",
	"/proc/kcore",
	"/proc/keys",
	"/proc/latency_stats",
	"/proc/sched_debug",
	"/proc/scsi",
	"/proc/timer_list",
	"/proc/timer_stats",
	"/sys/dev/block",
	"/sys/devices/virtual/powercap",
	"/sys/firmware",
	"/sys/fs/selinux",
}

// DefaultReadonly are paths that an app can read only.
var DefaultReadonly = []string{
	"/proc/asound",
	"/proc/bus",
	"/proc/fs",
	"/proc/irq",
	"/proc/sys",
	"/proc/sysrq-trigger",
}

// hiddenProc is covered by the tmpfs on the directory above it, which is mounted later.
const hiddenProc = "/dev/shm/proc"

// nodes are the device nodes of a minimal /dev; libcontainer adds ptmx and the links to /proc/self/fd.
var nodes = []struct {
	name         string
	major, minor int64
}{
	{"null", 1, 3},
	{"zero", 1, 5},
	{"full", 1, 7},
	{"random", 1, 8},
	{"urandom", 1, 9},
	{"tty", 5, 0},
}

const nodeMode = 0o666

// ttyGroup owns terminals in every distribution that gives the group a number.
const ttyGroup = 5
