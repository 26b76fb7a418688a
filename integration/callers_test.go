package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

func TestMain(m *testing.M) { os.Exit(fixture.Main(m)) }

// notTwice is the closed list of tests that do not run once as root and once as an ordinary user.
// Whatever else is in this package does: see [fixture.Each].
var notTwice = map[string]string{
	"TestMain":                           "no test",
	"TestEveryTestRunsTwice":             "starts nothing",
	"TestUserIsHimself":                  "the user alone, over two stores",
	"TestUserAsRootInside":               "the user alone, over two stores",
	"TestRootsStoreIsEverybodys":         "root and two users at once",
	"TestRootsLayersGiveNothingAway":     "root and a user",
	"TestUsersCannotChangeWhatIsRoots":   "root and a user",
	"TestOwnDeltaOnRootsBase":            "root and two users",
	"TestRootRemovesWhatAUserRuns":       "root and two users",
	"TestAdditionalStores":               "root and a user",
	"TestRootWithTheHomeOfAUser":         "root and a user",
	"TestRegistrationOfAStoreOutOfReach": "root and a user",
	"TestHomes":                          "a user over root's store",
	"TestUserNamespacesBarred":           "root needs none",
	"TestUserNamespacesFiltered":         "root needs none",
	"TestRange":                          "a user with a range",
	"TestRangeSeesNoMore":                "a user with a range",
	"TestRangeByImageUser":               "a user with a range",
	"TestRangeRefused":                   "a user with a range",
	"TestRangeRemoval":                   "a user with a range",
	"TestLimits":                         "root alone: a user is refused",
	"TestRangeOfRoot":                    "root alone",
	"TestSudo":                           "root needs none",
	"TestSudoEnvironment":                "root needs none",
	"TestSudoRefused":                    "root needs none",
	"TestSudoForAUsersOwnFlake":          "root needs none",
	"TestSudoOnATerminal":                "root needs none",
	"TestPilotThroughSudo":               "root needs no sudo",
	"TestRangeOptions":                   "a user with a range",
	"TestHostFilesOutOfReach":            "nothing is out of root's reach",
	"TestAppCannotRegister":              "the user alone, over two stores",
	"TestCurrentDirectoryOverRootsStore": "the user alone, over two stores",
	"TestInstalledFiles":                 "no command of ours",
	"TestIncludeOfRootsFlake":            "root and a user",
	"TestIncludeWithRange":               "a user with a range",
}

func TestEveryTestRunsTwice(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			found[f.Name.Name] = true
			if _, listed := notTwice[f.Name.Name]; listed == each(f) {
				t.Errorf("%s: runs for each caller: %v, listed as an exception: %v", f.Name.Name, each(f), listed)
			}
		}
	}
	for name := range notTwice {
		if !found[name] {
			t.Errorf("%s is listed and not there", name)
		}
	}
}

// each says whether all that a test does is fixture.Each.
func each(f *ast.FuncDecl) bool {
	if len(f.Body.List) != 1 {
		return false
	}
	statement, ok := f.Body.List[0].(*ast.ExprStmt)
	if !ok {
		return false
	}
	call, ok := statement.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	return ok && selector.Sel.Name == "Each"
}
