// Package oracle holds the features of clicks to an account of their own: SQL that an
// auditor can read, from the raw columns of the stored rows, without any code of package
// scoring (testdata/1_order.sql to 6_features.sql, and week/week.sql). It consists of tests alone.
package oracle
