// Command bench compares the product with its peers and prints a markdown table for each scenario.
//
//	go run ./integration/bench [-rounds N] [-pulls N] [-only REGEXP] [-json FILE] [-bin DIR]
//
// Within a scenario the subjects take turns, one run each a round, so that whatever else the machine
// does hits them alike; medians and 90th percentiles are over rounds, ratios are of medians of the
// same scenario. All share the host's network: none pays for a network namespace that others lack.
// What cannot be compared on this machine is named with the reason. The raw figures go to a JSON
// file. Timings are facts about one machine on one day and no test depends on them.
//
// To add a scenario, append to the table in scenarios.go.
package main
