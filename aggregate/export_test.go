package aggregate

// For the tests that need a store, which cannot live in this package: the stores
// import it.
var (
	NewClick    = newClick
	NewLetter   = newLetter
	NewMark     = newMark
	ClickValue  = clickValue
	LetterValue = letterValue
	MarkValue   = markValue
	TestTime    = testTime
)
