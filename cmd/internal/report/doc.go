// Package report prints what a store's reports return, for people as a table and
// for programs as CSV or JSON.
//
// Amounts are integer micros wherever a program reads them. Beside them stands
// the figure shown to people, rounded at the currency's own digits. It is always
// rounded from the exact sum, never added up from rounded lines, and a sum never
// spans currencies. Nothing is coloured, so NO_COLOR needs no switch.
package report
