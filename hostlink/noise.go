package hostlink

// reasoned is a group of patterns that share a reason.
type reasoned struct {
	reason   string
	patterns []string
}

// mountedAreas are covered by file systems of the launcher's own. A link there
// would be hidden, or worse: /proc/PID/root and /dev/mem are doors to the host.
var mountedAreas = map[string]string{
	"proc": "the launcher mounts its own /proc",
	"sys":  "the launcher mounts its own /sys",
	"dev":  "the launcher makes its own /dev",
}

// never is linked under no circumstances: no keep pattern brings it back.
var never = []reasoned{
	{"password hashes of the host", []string{
		"etc/shadow", "etc/shadow-", "etc/shadow.*",
		"etc/gshadow", "etc/gshadow-", "etc/gshadow.*",
		"etc/tcb/**",
		"etc/master.passwd",
		"etc/security/opasswd", "etc/security/opasswd.*",
		"var/backups/*shadow*",
	}},
	{"manifest of the image itself", []string{
		"removed/**", "vanished/**", "systemfiles/**",
	}},
}

// noise is what real manifests list although nobody wants it from the host: a
// manifest holds all that differs after the image builder's last snapshot, not
// only what it uninstalled. A keep pattern of the flake brings an entry back.
var noise = []reasoned{
	{"left over by the image builder", []string{
		"kiwi_*", ".profile", ".kconfig",
	}},
	{"written by the launcher for each start", []string{
		"etc/hosts", "etc/resolv.conf", "etc/hostname", "etc/mtab",
		"run/.containerenv", ".dockerenv",
	}},
	{"accounts of the host", []string{
		"etc/passwd", "etc/passwd-", "etc/group", "etc/group-",
		"etc/subuid", "etc/subuid-", "etc/subgid", "etc/subgid-",
	}},
	{"identity of the host", []string{
		"etc/machine-id", "var/lib/dbus/machine-id", "etc/hostid",
		"etc/ssh/ssh_host_*", "var/lib/systemd/random-seed",
		"etc/ssl/private/**",
	}},
	{"package database of the host (dpkg)", []string{
		"var/lib/dpkg/**", "var/lib/ucf/**", "var/backups/**",
	}},
	{"package manager's state (apt)", []string{
		"var/lib/apt/**", "var/lib/aptitude/**",
	}},
	{"package database of the host (rpm)", []string{
		"var/lib/rpm/**", "usr/lib/sysimage/**", "usr/share/rpm/**", "var/lib/rpm-state/**",
	}},
	{"package manager's state (zypper, dnf, yum)", []string{
		"var/lib/zypp/**", "var/lib/dnf/**", "var/lib/yum/**", "var/lib/PackageKit/**",
	}},
	{"package database of the host (apk)", []string{
		"lib/apk/**", "usr/lib/apk/**", "var/lib/apk/**", "etc/apk/world",
	}},
	{"package database of the host (pacman)", []string{
		"var/lib/pacman/**",
	}},
	{"log", []string{
		"var/log/**",
	}},
	{"cache", []string{
		"var/cache/**", "etc/ld.so.cache", "etc/ld.so.cache~",
	}},
	{"index that the host's packages make of all that is installed", []string{
		"usr/share/info/dir", "usr/share/mime/mime.cache", "usr/share/applications/mimeinfo.cache", "usr/share/icons/*/icon-theme.cache",
		"usr/share/glib-2.0/schemas/gschemas.compiled", "usr/lib/locale/locale-archive",
		"usr/lib/**/gio/modules/giomodule.cache", "usr/lib/**/gdk-pixbuf-2.0/*/loaders.cache",
	}},
	{"mail and jobs of the host's users", []string{
		"var/mail/**", "var/spool/**",
	}},
	{"lock", []string{
		"etc/.pwd.lock", "var/**/lock", "var/**/.lock", "var/**/*.lock", "var/lock/**",
	}},
	{"state of the running system", []string{
		"run/**", "var/run/**",
	}},
	{"homes of the host's users", []string{
		"root/**", "home/**",
	}},
	{"temporary file", []string{
		"tmp/**", "var/tmp/**", "lost+found/**",
	}},
}
