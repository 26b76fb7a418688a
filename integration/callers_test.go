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

// notForEach is the closed list of tests that do not run once as root, once as an ordinary user, and
// once as one with a range of ids. Whatever else is in this package does: see [fixture.Each].
var notForEach = map[string]string{
	"TestMain":                                 "no test",
	"TestEveryTestRunsForEach":                 "starts nothing",
	"TestStalePlanWithoutKill":                 "root with fewer rights",
	"TestUserIsHimself":                        "the user alone, over two stores",
	"TestUserAsRootInside":                     "the user alone, over two stores",
	"TestRootsStoreIsEverybodys":               "root and two users at once",
	"TestRootsLayersGiveNothingAway":           "root and a user",
	"TestUsersCannotChangeWhatIsRoots":         "root and a user",
	"TestOwnDeltaOnRootsBase":                  "root and two users",
	"TestRootRemovesWhatAUserRuns":             "root and two users",
	"TestAdditionalStores":                     "root and a user",
	"TestRootWithTheHomeOfAUser":               "root and a user",
	"TestRegistrationOfAStoreOutOfReach":       "root and a user",
	"TestHomes":                                "a user over root's store",
	"TestUserNamespacesBarred":                 "root needs none",
	"TestOtherNamespacesBarred":                "for each, where root can set limits",
	"TestUserNamespacesFiltered":               "root needs none",
	"TestRange":                                "a user with a range",
	"TestRangeSeesNoMore":                      "a user with a range",
	"TestRangeByImageUser":                     "a user with a range",
	"TestRangeRefused":                         "a user with a range",
	"TestRangeOnDisk":                          "a user with a range",
	"TestDefaultRange":                         "a user with a range, over two stores",
	"TestRangeRemoval":                         "a user with a range",
	"TestLimits":                               "root alone: a user is refused",
	"TestKiwiSystemFilesOfAnRPMHost":           "plans for another host, which rpm fills as root",
	"TestVerifyAndExplainOfRootsFlake":         "root and a user",
	"TestRangeOfRoot":                          "root alone",
	"TestSudo":                                 "root needs none",
	"TestSudoEnvironment":                      "root needs none",
	"TestSudoRefused":                          "root needs none",
	"TestSudoForAUsersOwnFlake":                "root needs none",
	"TestSudoOnATerminal":                      "root needs none",
	"TestPilotThroughSudo":                     "root needs no sudo",
	"TestRangeOptions":                         "a user with a range",
	"TestHostFilesOutOfReach":                  "nothing is out of root's reach",
	"TestAppCannotRegister":                    "the user alone, over two stores",
	"TestRootsAppCannotRegister":               "root alone",
	"TestCurrentDirectoryOverRootsStore":       "the user alone, over two stores",
	"TestInstalledFiles":                       "no command of ours",
	"TestIncludeOfRootsFlake":                  "root and a user",
	"TestIncludeWithRange":                     "a user with a range",
	"TestCallerWithoutAPlaceForAStore":         "a user over root's stores",
	"TestNothingIsMadeInAHomeThatIsTheSystems": "root alone: nobody else could make anything there",
}

// notRanged is the closed list of tests that run as root and as an ordinary user alone. What fetches and
// unpacks an image knows nothing of ranges; the first start with one copies it once more, which takes
// long with thousands of files.
var notRanged = map[string]string{
	"TestBadSources":                 "refuses what could be started",
	"TestHostileLayers":              "refuses what could be started",
	"TestSpoiledPulls":               "refuses what could be started",
	"TestOtherSources":               "TestPullEachKind starts what was pulled with a range, TestRange what was loaded",
	"TestRealPullFromDockerRegistry": "TestRealSeedScenario starts the same images with a range",
	"TestRealPullIsTakenUpAgain":     "TestInterruptedPullKeepsWhatWasComplete does so with a small image",
	"TestRealBaseIsUnpackedAsItIs":   "starts nothing; TestKiwiOddEntryByEntry looks from inside",
	"TestRealLayersWithoutParents":   "TestLayersWithoutParents does so with a small image, TestRealIdentity starts the same one",
	"TestCallsOfAStart":              "the early part leaves ranges to Go",
	"TestNothingOnTheWay":            "the early part leaves ranges to Go",
	"TestLauncherIsOutOfReach":       "the early part leaves ranges to Go",
	"TestImageThatNamesTheLauncher":  "the early part leaves ranges to Go",
	"TestOddCallersOfAllWays":        "the early part leaves ranges to Go",
	"TestLongWordsByAllWays":         "the early part leaves ranges to Go",
	"TestWaysToStartAgree":           "the early part leaves ranges to Go",
	"TestWaysToStartEndAlike":        "the early part leaves ranges to Go",
	"TestCurrentDirectoryOutOfReach": "the refusal comes before any id is mapped",
	"TestLimitsOfACaller":            "the refusals come before any id is mapped",
	"TestStoreOnOverlayfs":           "an ordinary user's layers are copied for a range as on any file system",
	"TestKiwiJoe":                    "TestKiwiStackOfThree starts the same base with a range",
}

func TestEveryTestRunsForEach(t *testing.T) {
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
			want := "Each"
			if _, listed := notForEach[f.Name.Name]; listed {
				want = ""
			}
			if _, listed := notRanged[f.Name.Name]; listed {
				want = "EachUnranged"
			}
			if got := runsBy(f); got != want {
				t.Errorf("%s: runs by fixture.%s, by the lists of exceptions it should by fixture.%s", f.Name.Name, got, want)
			}
		}
	}
	for _, list := range []map[string]string{notForEach, notRanged} {
		for name := range list {
			if !found[name] {
				t.Errorf("%s is listed and not there", name)
			}
		}
	}
}

// runsBy is the function of fixture that is all that a test calls, "" if that is none for several callers.
func runsBy(f *ast.FuncDecl) string {
	if len(f.Body.List) != 1 {
		return ""
	}
	statement, ok := f.Body.List[0].(*ast.ExprStmt)
	if !ok {
		return ""
	}
	call, ok := statement.X.(*ast.CallExpr)
	if !ok {
		return ""
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !strings.HasPrefix(selector.Sel.Name, "Each") {
		return ""
	}
	return selector.Sel.Name
}
