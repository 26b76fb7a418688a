package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// setPolicy writes the machine's policy, which in the suite's own mount namespace is a file of the suite's.
func setPolicy(t *testing.T, text string) {
	t.Helper()
	fixture.RequireRoot(t, "to write "+fixture.SystemSettings)
	file := filepath.Join(fixture.SystemSettings, "policy.yaml")
	if text == "" {
		_ = os.Remove(file)
		return
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
}

func TestPolicy(t *testing.T) { fixture.Each(t, testPolicy) }

func testPolicy(t *testing.T, by fixture.Caller) {
	setPolicy(t, "")
	s, host := started(t, by), hostDir(t, by)
	below := strings.TrimPrefix(host, "/")
	for _, dir := range []string{"private", "closed"} {
		s.Mkdir(host + "/" + dir)
	}
	files := map[string]os.FileMode{"open": 0o644, "secret": 0o600, "private/x.key": 0o644, "closed/open": 0o644}
	var manifest, paths []string
	for name, mode := range files {
		s.WriteFile(filepath.Join(host, name), name)
		if err := os.Chmod(filepath.Join(host, name), mode); err != nil {
			t.Fatal(err)
		}
		manifest, paths = append(manifest, below+"/"+name), append(paths, host+"/"+name)
	}
	if err := os.Chmod(host+"/closed", 0o700); err != nil {
		t.Fatal(err)
	}
	s.Load(fixture.Delta(t, "asking", "file removed data="+quote(strings.Join(manifest, "\n")+"\n")))
	res := s.Register("asking", "asking", "--base", "probe", "--target", "/bin/probe", "--profile", "isolated")
	if !strings.Contains(res.Stderr, "3 files are refused by the policy") {
		t.Errorf("registration: %v", res)
	}
	dropIn(s, "asking", "host_files: {keep: [\"**\"]}\n") // which is not for the flake to say
	sees := func(when string, want ...string) {
		t.Helper()
		seen := looks(t, s, s.Link("asking"), paths)
		for name := range files {
			wanted := false
			for _, w := range want {
				wanted = wanted || w == name
			}
			if has := seen[host+"/"+name] != "none"; has != wanted {
				t.Errorf("%s: %s: %q", when, name, seen[host+"/"+name])
			}
		}
		var e explained
		explains(t, s, &e, "asking")
		if got := e.causes()["policy"]; len(got) != len(files)-len(want) {
			t.Errorf("%s: explain tells of %q", when, got)
		}
	}
	sees("without a policy", "open")
	setPolicy(t, "default:\n  host_files: deny\n")
	sees("barred") // the file that came makes the plan stale
	setPolicy(t, "images:\n- image: docker.io/library/asking\n  allow: ["+below+"/**]\n")
	sees("allowed", "open", "secret", "closed/open") // but no keys
	setPolicy(t, "images:\n- image: '*/*/other'\n  host_files: deny\n- image: docker.io/**\n  deny: ["+below+"/open]\n")
	sees("denied")
	setPolicy(t, "images:\n- image: "+imageDigest(t, s, "asking")+"\n  allow: ["+below+"/secret]\n")
	sees("by digest", "secret")
	setPolicy(t, "")
	sees("without a policy again", "open")

	setPolicy(t, "default:\n  host_file: deny\n")
	s.Refused(s.App("asking", "exit", "0"), "policy.yaml:2", "host_file")
	s.Refused(s.Ctl("explain", "asking"), "policy.yaml:2")
	if res := s.App("probe", "exit", "0"); res.Code != 0 {
		t.Errorf("a flake that asks for nothing: %v", res)
	}
	setPolicy(t, "default: {}\n")
	if err := os.Chmod(filepath.Join(fixture.SystemSettings, "policy.yaml"), 0o666); err != nil {
		t.Fatal(err)
	}
	s.Refused(s.App("asking", "exit", "0"), "another user")
}

func imageDigest(t *testing.T, s *fixture.Sandbox, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Registrations, name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && key == name && strings.HasPrefix(value, "sha256:") {
			return value
		}
	}
	t.Fatalf("no digest in %s", text)
	return ""
}

// An image that may not run its script asks for nothing by it; what it lists is another matter.
func TestPolicyOfScripts(t *testing.T) { fixture.Each(t, testPolicyOfScripts) }

func testPolicyOfScripts(t *testing.T, by fixture.Caller) {
	setPolicy(t, "")
	s, host := started(t, by), hostDir(t, by)
	below := strings.TrimPrefix(host, "/")
	s.WriteFile(host+"/listed", "listed")
	s.WriteFile(host+"/printed", "printed")
	s.WriteFile(host+"/secret", "secret")
	if err := os.Chmod(host+"/secret", 0o600); err != nil {
		t.Fatal(err)
	}
	s.Load(fixture.Delta(t, "scripted", "file removed data="+quote(below+"/listed\n"),
		"file systemfiles mode=0755 data="+quote("#!/bin/sh\necho "+host+"/printed\necho "+host+"/secret\n")))
	s.Register("scripted", "scripted", "--base", "probe", "--target", "/bin/probe", "--profile", "isolated")
	for _, c := range []struct{ policy, listed, printed string }{
		{"", "listed", "printed"},
		{"images: [{image: '**/scripted', systemfiles: deny}]\n", "listed", ""},
		{"default: {host_files: deny}\n", "", ""},
		{"default: {deny: ['" + below + "/printed']}\n", "listed", ""},
	} {
		setPolicy(t, c.policy)
		for name, want := range map[string]string{"listed": c.listed, "printed": c.printed, "secret": ""} {
			if res := s.App("scripted", "cat", host+"/"+name); res.Stdout != want {
				t.Errorf("%q: %s: want %q, got %v", c.policy, name, want, res)
			}
		}
		var e explained
		explains(t, s, &e, "scripted")
		if len(e.causes()["policy"]) == 0 {
			t.Errorf("%q: explain tells of no refusal", c.policy)
		}
	}
}
