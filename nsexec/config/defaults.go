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

// Number is that of a character device.
type Number struct{ Major, Minor int64 }

// nodes are the device nodes of a minimal /dev, by their names there; libcontainer adds the links.
var nodes = []struct {
	name string
	Number
}{
	{"null", Number{1, 3}},
	{"zero", Number{1, 5}},
	{"full", Number{1, 7}},
	{"random", Number{1, 8}},
	{"urandom", Number{1, 9}},
	{"tty", Number{5, 0}},
}

// DeviceLinks are the symlinks of /dev, text and path: those that libcontainer makes, but for /dev/core, which would lead
// to what is masked.
var DeviceLinks = [][2]string{
	{"pts/ptmx", "/dev/ptmx"}, {"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"},
	{"/proc/self/fd/2", "/dev/stderr"},
}

// DeviceNode is the node of that name in every container's /dev.
func DeviceNode(name string) (Number, bool) {
	for _, n := range nodes {
		if n.name == name {
			return n.Number, true
		}
	}
	return Number{}, false
}

// DeviceLink is the text of the symlink of that name there.
func DeviceLink(name string) (text string, ok bool) {
	for _, l := range DeviceLinks {
		if l[1] == "/dev/"+name {
			return l[0], true
		}
	}
	return "", false
}

const nodeMode = 0o666

// ttyGroup owns terminals in every distribution that gives the group a number.
const ttyGroup = 5
