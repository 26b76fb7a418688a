package launcher

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNames(t *testing.T) {
	tests := map[string]struct {
		argv0, executed string
		want            []string
	}{
		"a link":                   {"/usr/local/bin/aws", "/usr/local/bin/aws", []string{"aws"}},
		"found through PATH":       {"aws", "/usr/local/bin/aws", []string{"aws"}},
		"relative":                 {"./aws", "./aws", []string{"aws"}},
		"dots in the name":         {"python3.11", "/x/python3.11", []string{"python3.11"}},
		"exec -a":                  {"other", "/usr/bin/aws", []string{"other", "aws"}},
		"login shell":              {"-bash", "/usr/bin/bash", []string{"-bash", "bash"}},
		"empty argv":               {"", "/usr/bin/aws", []string{"aws"}},
		"a slash":                  {"/", "/usr/bin/aws", []string{"aws"}},
		"its own name":             {"flake-launcher", "/usr/bin/flake-launcher", nil},
		"exec -a its own name":     {"flake-launcher", "/usr/bin/aws", []string{"aws"}},
		"the kernel tells nothing": {"aws", "", []string{"aws"}},
		"nothing at all":           {"", "", nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := names(tc.argv0, func() string { return tc.executed })
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestExecutedFileIsThisTest(t *testing.T) {
	if executedFile() == "" {
		t.Error("the auxiliary vector names no file")
	}
}
