// Package oracle holds the features of clicks to an account of their own: SQL that an
// auditor can read, from the raw columns of the stored rows (testdata/1_order.sql to
// 6_features.sql, and week/week.sql). It shares nothing with package scoring but the hashes
// that say into which cell of a sketch a name falls. It consists of tests alone.
package oracle
