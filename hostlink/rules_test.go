package hostlink

import (
	"errors"
	"strings"
	"testing"
)

func TestGlob(t *testing.T) {
	cases := map[string]struct {
		pattern  string
		yes, not []string
	}{
		"anchored at the root":         {"etc/hosts", []string{"etc/hosts"}, []string{"usr/etc/hosts", "etc/hosts/x", "etc"}},
		"leading slash":                {"/etc/hosts", []string{"etc/hosts"}, nil},
		"star stays inside a name":     {"kiwi_*", []string{"kiwi_", "kiwi_apt.config"}, []string{"kiwi_a/b", "x/kiwi_a"}},
		"two stars with what is above": {"var/log/**", []string{"var/log", "var/log/a", "var/log/a/b"}, []string{"var/logs", "var"}},
		"two stars in the middle":      {"var/**/lock", []string{"var/lock", "var/a/lock", "var/a/b/lock"}, []string{"var/a/lock/b", "lock"}},
		"two stars twice":              {"**/a/**/b", []string{"a/b", "x/a/y/b", "a/a/b/b"}, []string{"b/a", "a"}},
		"two stars first":              {"**/*.pem", []string{"a.pem", "x/y/a.pem"}, []string{"a.pem/x"}},
		"two stars in a name":          {"a**b", []string{"ab", "axb"}, []string{"a/b"}},
		"class and escape":             {`[ab]\*`, []string{"a*", "b*"}, []string{"ax", "c*"}},
		"everything":                   {"**", []string{"a", "a/b/c"}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g, err := parseGlob(c.pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range c.yes {
				if !g.match(strings.Split(p, "/")) {
					t.Errorf("%q does not match %q", c.pattern, p)
				}
			}
			for _, p := range c.not {
				if g.match(strings.Split(p, "/")) {
					t.Errorf("%q matches %q", c.pattern, p)
				}
			}
		})
	}
}

func TestGlobTime(t *testing.T) {
	g, err := parseGlob(strings.Repeat("**/a/", 500) + "b")
	if err != nil {
		t.Fatal(err)
	}
	if g.match(strings.Split(strings.Repeat("a/", 2000)+"c", "/")) {
		t.Error("matches")
	}
}

func TestBadPatterns(t *testing.T) {
	for _, pattern := range []string{"", "/", "../x", "a/[", `a\`, "a/[b/c]"} {
		for _, req := range []Request{{Keep: []string{pattern}}, {Drop: []string{pattern}}} {
			_, err := Resolve(req)
			var pe *PatternError
			if !errors.As(err, &pe) || pe.Pattern != pattern || pe.Remedy() == "" {
				t.Errorf("pattern %q: error %v", pattern, err)
			}
		}
	}
}

func TestJudge(t *testing.T) {
	r, err := newRules(&Request{
		Provided: []string{"/etc/nsswitch.conf", "opt/given", "odd[name]*"},
		Keep:     []string{"var/log/keep/**", "run/docker.sock", "etc/shadow", "proc/**", "usr/share/doc/openssl/copyright", "etc/nsswitch.conf"},
		Drop:     []string{"usr/share/doc/**", "opt/[xy]"},
	})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		paths []string
		want  Cause
	}{
		"proc, although kept":               {[]string{"proc/1/root"}, CauseRefused},
		"sys itself":                        {[]string{"sys"}, CauseRefused},
		"device":                            {[]string{"dev/sda"}, CauseRefused},
		"a name that only begins so":        {[]string{"device/x"}, ""},
		"leads to proc":                     {[]string{"a/b", "proc/1"}, CauseRefused},
		"shadow, although kept":             {[]string{"etc/shadow"}, CauseRefused},
		"shadow's backup":                   {[]string{"etc/shadow-"}, CauseRefused},
		"gshadow":                           {[]string{"etc/gshadow"}, CauseRefused},
		"backup of shadow":                  {[]string{"var/backups/gshadow.bak"}, CauseRefused},
		"leads to shadow on the host":       {[]string{"a/shadow", "etc/shadow", "a/shadow"}, CauseRefused},
		"the manifest":                      {[]string{"removed"}, CauseRefused},
		"provided, although kept":           {[]string{"etc/nsswitch.conf"}, CauseProvided},
		"below a provided directory":        {[]string{"opt/given/a/b"}, CauseProvided},
		"provided name with pattern signs":  {[]string{"odd[name]*"}, CauseProvided},
		"its pattern":                       {[]string{"oddname"}, ""},
		"leads to what is provided":         {[]string{"a", "a", "opt/given"}, CauseProvided},
		"dropped":                           {[]string{"usr/share/doc/x/y"}, CauseDropped},
		"dropped by class":                  {[]string{"opt/x"}, CauseDropped},
		"kept out of dropped":               {[]string{"usr/share/doc/openssl/copyright"}, ""},
		"kept out of noise":                 {[]string{"var/log/keep/me"}, ""},
		"kept by its name, wherever it is":  {[]string{"run/docker.sock", "run/other.sock"}, ""},
		"log":                               {[]string{"var/log/dpkg.log"}, CauseNoise},
		"left by kiwi":                      {[]string{"kiwi_apt.config"}, CauseNoise},
		"kiwi's name deeper down":           {[]string{"usr/kiwi_apt.config"}, ""},
		"hosts":                             {[]string{"etc/hosts"}, CauseNoise},
		"passwd":                            {[]string{"etc/passwd"}, CauseNoise},
		"group's backup":                    {[]string{"etc/group-"}, CauseNoise},
		"machine id":                        {[]string{"etc/machine-id"}, CauseNoise},
		"dpkg database":                     {[]string{"var/lib/dpkg/status"}, CauseNoise},
		"dpkg database's directory":         {[]string{"var/lib/dpkg"}, CauseNoise},
		"leads to the dpkg database":        {[]string{"db/status", "var/lib/dpkg/status"}, CauseNoise},
		"lands on the image's rpm database": {[]string{"db/x", "db/x", "usr/lib/sysimage/rpm/x"}, CauseNoise},
		"rpm database":                      {[]string{"var/lib/rpm/Packages"}, CauseNoise},
		"apk database":                      {[]string{"lib/apk/db/installed"}, CauseNoise},
		"pacman database":                   {[]string{"var/lib/pacman/local/x"}, CauseNoise},
		"zypper state":                      {[]string{"var/lib/zypp/AutoInstalled"}, CauseNoise},
		"apt lists":                         {[]string{"var/lib/apt/lists/x"}, CauseNoise},
		"cache":                             {[]string{"var/cache/ldconfig/aux-cache"}, CauseNoise},
		"loader cache":                      {[]string{"etc/ld.so.cache"}, CauseNoise},
		"lock":                              {[]string{"var/lib/app/lock"}, CauseNoise},
		"a lock file that is data":          {[]string{"usr/share/app/yarn.lock"}, ""},
		"run":                               {[]string{"run/x"}, CauseNoise},
		"var/run is run":                    {[]string{"srv/x", "run/x"}, CauseNoise},
		"ordinary":                          {[]string{"usr/bin/openssl", "usr/bin/openssl", "usr/bin/openssl"}, ""},
		"ordinary below etc":                {[]string{"etc/ssl/certs/x.pem"}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := r.judge(c.paths[0], c.paths[1:]...)
			if v.cause != c.want {
				t.Errorf("%q: %q (%s), want %q", c.paths, v.cause, v.reason, c.want)
			}
			if v.passes() != (v.reason == "") {
				t.Errorf("%q: cause %q has the reason %q", c.paths, v.cause, v.reason)
			}
		})
	}
}
