package caller

// Profile is how much of the caller is shared with the app.
type Profile struct {
	Name string
	// Home and Tmp share the caller's HOME, and the host's /tmp and /var/tmp; else the app has empty ones at the same
	// paths. Cwd shares the directory that the caller is in and starts the app there.
	Home, Tmp, Cwd bool
	// Pass are the names of variables that are taken over, but for those of Deny: NAME, NAME* or *NAME.
	Pass, Deny []string
	// Network is the host's; else there is none but a loopback interface.
	Network bool
	// MachineID lets the app know which machine it runs on.
	MachineID bool
}

// The names of the profiles; the values are those of the flake's key.
const (
	Native   = "native"   // as if the app were installed; the default of registered flakes
	Project  = "project"  // the directory the caller is in, and nothing else; the default of flake-run
	Isolated = "isolated" // nothing
)

var (
	terminal = []string{"TERM", "COLORTERM", "LANG", "LANGUAGE", "LC_*", "TZ"}
	proxies  = []string{"*_proxy", "*_PROXY"}
)

// ProfileOf returns the profile of that name; "" and unknown names give Isolated, the least.
func ProfileOf(name string) Profile {
	switch name {
	case Native:
		return Profile{Name: Native, Home: true, Tmp: true, Cwd: true, Pass: []string{"*"}, Deny: Denied, Network: true, MachineID: true}
	case Project:
		return Profile{Name: Project, Cwd: true, Pass: append(append([]string(nil), terminal...), proxies...), Deny: Denied, Network: true, MachineID: true}
	}
	return Profile{Name: Isolated, Pass: terminal, Deny: Denied}
}

// Denied are variables that speak of the host's files or of the caller's process: where a loader, an interpreter or a
// library is to look for code and data, which in the image lie elsewhere and may be of other versions.
var Denied = []string{
	// the dynamic loader and the C library
	"LD_*", "GLIBC_TUNABLES", "MALLOC_*", "GCONV_PATH", "LOCPATH", "NLSPATH", "NIS_PATH", "RESOLV_HOST_CONF", "HOSTALIASES",
	// interpreters
	"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PERL5LIB", "PERLLIB", "PERL5OPT", "PERL5DB", "RUBYLIB", "RUBYOPT",
	"GEM_HOME", "GEM_PATH", "BUNDLE_*", "NODE_PATH", "NODE_OPTIONS", "LUA_PATH*", "LUA_CPATH*", "TCLLIBPATH", "GUILE_LOAD_*", "CLASSPATH",
	"JAVA_HOME", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "PHPRC", "PHP_INI_SCAN_DIR", "R_HOME", "R_LIBS*", "OCAMLPATH", "VIRTUAL_ENV", "CONDA_*",
	// shells
	"BASH_ENV", "ENV", "BASH_FUNC_*", "FPATH", "SHELLOPTS", "BASHOPTS", "PS4", "MANPATH", "INFOPATH",
	// libraries that load modules or data
	"GIO_*", "GTK_PATH", "GTK_MODULES", "GTK_EXE_PREFIX", "GDK_PIXBUF_MODULE*", "GST_PLUGIN*", "QT_PLUGIN_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH", "QML*_IMPORT_PATH",
	"OPENSSL_CONF", "OPENSSL_ENGINES", "OPENSSL_MODULES", "KRB5_PLUGIN*", "SASL_PATH", "TERMINFO", "TERMINFO_DIRS", "TERMCAP", "FONTCONFIG_*",
	"XDG_DATA_DIRS", "XDG_CONFIG_DIRS", "MAGIC", "GIT_EXEC_PATH", "GIT_TEMPLATE_DIR", "VK_*", "LIBGL_DRIVERS_PATH", "__EGL_VENDOR_LIBRARY_*",
	// this process's own, and ours
	"_", "LISTEN_*", "NOTIFY_SOCKET", "MAKEFLAGS", "MFLAGS", "FLAKES_ROOT", "FLAKE_*", "XDG_RUNTIME_DIR", "DBUS_*",
}

// Session are variables that speak of descriptors: they are taken over with them, see Plan.PreserveFDs.
var Session = []string{"LISTEN_*", "MAKEFLAGS", "MFLAGS"}
