package scoring

import "clickgate/testdata/unwatched"

// largeTowns are tests of many thousand clicks by one goroutine, which take ten times as
// long under the race detector. What several goroutines share is watched by the others, and
// so are smaller towns of the same rules.
var largeTowns = unwatched.These(
	"TestDayFindsWhoComesBack", "TestDayIsRememberedOrRead", "TestDayKnowsHabits",
	"TestHourFindsAttacks", "TestHourLeavesCrowdsAlone", "TestHourLeavesRelaysAlone",
	"TestPublisherSurprise", "TestSurveyStaysBounded",
)
