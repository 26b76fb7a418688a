package importing

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
)

// variable is what is one here; podman-pilot takes the upper case letters at its beginning for one.
var variable = regexp.MustCompile(`%([A-Z]*)([A-Za-z0-9_]*)`)

// otherVariable describes the first variable of an option that is another one there, "" if there is none.
func otherVariable(option string) string {
	for _, m := range variable.FindAllStringSubmatch(option, -1) {
		switch upper, rest := m[1], m[2]; {
		case rest == "" || upper == "" && rest[0] >= '0' && rest[0] <= '9':
		case upper == "":
			return fmt.Sprintf("%%%s is a variable here, and was none", rest)
		default:
			return fmt.Sprintf("the variable is %s%s here, and was %s", upper, rest, upper)
		}
	}
	return ""
}

// options takes podman's options. flake-pilot hands them over word by word, so an option and its value may be two
// entries there.
func (a *assessment) options() {
	const key = "container.runtime.podman"
	var out []string
	for _, o := range a.list(key) {
		if n := len(out); n > 0 && !strings.HasPrefix(o, "-") && !strings.ContainsAny(out[n-1], " =") {
			out[n-1] += " " + o
			continue
		}
		out = append(out, o)
	}
	a.f.Container.Runtime.Podman = out
	if a.facts.Effective == nil {
		return
	}
	for _, o := range out {
		one := flake.Flake{Container: flake.Container{Name: a.f.Container.Name, Runtime: flake.Runtime{Podman: []string{o}}}}
		if _, err := a.facts.Effective(&one); err != nil {
			a.Refuse(key, o+": "+err.Error())
			continue
		}
		if other := otherVariable(o); other != "" {
			a.add(key, Differs, o+": "+other)
			continue
		}
		a.add(key, Same, o)
	}
}

// profile keeps what podman-pilot shares of the caller: nothing but a network.
func (a *assessment) profile() {
	eff := a.effective()
	a.f.PilotArguments = true
	a.add("pilot_arguments", Same, "arguments with @ or % are the launcher's; @@ and %% make them the app's")
	a.f.Profile = "isolated"
	a.add("profile", Differs, "isolated: nothing of the caller's, as before, but TERM, LANG, LC_* and TZ; native would share directory, home and environment")
	if eff.Network == "" {
		a.f.Network = "host"
		a.add("network", Differs, "host: podman's default is a network of its own, through which the app reaches as far")
	}
	if eff.User != "" || a.f.Container.Runtime.RunAs == "root" || slices.ContainsFunc(a.f.Container.Runtime.Podman, namesUser) {
		return
	}
	if a.facts.Ordinary && !slices.ContainsFunc(a.f.Images(), a.foreign) {
		a.f.User = "root"
		a.add("user", Same, "root inside, which is the caller outside")
		return
	}
	a.add("user", Differs, "the caller's own id and the path of the own home; podman-pilot makes the caller root or the image's user inside")
}

// foreign says that one can't, or must not, be root over the image: it is somebody else's, or names another user.
func (a *assessment) foreign(image string) bool {
	img := a.facts.Image(image)
	user, _, _ := strings.Cut(img.User, ":")
	return img.Stored && (!img.Own || user != "" && user != "root" && user != "0")
}

func namesUser(option string) bool {
	return strings.HasPrefix(option, "--userns") || strings.HasPrefix(option, "--user") || strings.HasPrefix(option, "-u")
}

// effective is the flake with podman's options as keys; where that can't be had it has been refused already.
func (a *assessment) effective() *flake.Flake {
	if a.facts.Effective == nil {
		return &a.f
	}
	f := a.f
	if eff, err := a.facts.Effective(&f); err == nil {
		return eff
	} else if !slices.ContainsFunc(a.Findings, func(f Finding) bool { return f.Verdict == Cannot }) {
		a.Refuse("container.runtime.podman", err.Error()) // each by itself was fine
	}
	return &a.f
}
