package report

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestAmount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		micros   int64
		currency string
		want     string
	}{
		{9_999_997, "USD", "10.00"},
		{9_999_997, "JPY", "10"},
		{9_999_997, "KWD", "10.000"},
		{8_571_426, "USD", "8.57"},
		{8_571_426, "JPY", "9"},
		{8_571_426, "KWD", "8.571"},
		{1_428_571, "USD", "1.43"},
		{12_000_000, "JPY", "12"},
		{5_000, "USD", "0.01"},
		{-5_000, "USD", "-0.01"},
		{4_999, "USD", "0.00"},
		{-4_999, "USD", "0.00"},
		{499_999, "JPY", "0"},
		{500_000, "JPY", "1"},
		{-500_000, "JPY", "-1"},
		{1_234_550, "CLF", "1.2346"},
		{0, "EUR", "0.00"},
		{0, "", ""},
		{math.MaxInt64, "USD", "9223372036854.78"},
		{math.MinInt64, "USD", "-9223372036854.78"},
		{math.MinInt64, "JPY", "-9223372036855"},
	} {
		if got := Amount(c.micros, c.currency); got != c.want {
			t.Errorf("Amount(%d, %s) = %q, want %q", c.micros, c.currency, got, c.want)
		}
	}
}

// TestAmountAgainstRationals compares with exact arithmetic: never more than
// half a minor unit off, and symmetric about zero.
func TestAmountAgainstRationals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		micros := rapid.Int64().Draw(t, "micros")
		currency := rapid.SampledFrom([]string{"USD", "JPY", "KWD", "CLF"}).Draw(t, "currency")
		shown, ok := new(big.Rat).SetString(Amount(micros, currency))
		if !ok {
			t.Fatalf("no number: %q", Amount(micros, currency))
		}
		exact := big.NewRat(micros, 1_000_000)
		half := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(Digits(currency))), nil))
		half.Mul(half, big.NewRat(1, 2))
		if off := new(big.Rat).Sub(shown, exact); off.Abs(off).Cmp(half) > 0 {
			t.Errorf("%d micros of %s shown as %s", micros, currency, Amount(micros, currency))
		}
		if micros != math.MinInt64 && shown.Sign() != 0 && "-"+Amount(max(micros, -micros), currency) != Amount(min(micros, -micros), currency) {
			t.Errorf("%d is not shown as its opposite", micros)
		}
	})
}

func TestParsePrice(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0.25": 250_000, "1": 1_000_000, "0": 0, "0.000001": 1, "12.5": 12_500_000, "007.10": 7_100_000,
		"9223372036854.775807": math.MaxInt64,
	} {
		if got, err := ParsePrice(text); err != nil || got != want {
			t.Errorf("ParsePrice(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", ".", ".5", "1.", "0.0000001", "-1", "+1", "1e3", "1,5", " 1", "1 ", "0x1", "٣", "1_000", "1.2.3", "NaN", "9223372036854.775808", "99999999999999999999",
	} {
		if got, err := ParsePrice(text); !errors.Is(err, ErrPrice) {
			t.Errorf("ParsePrice(%q) = %d, %v; want an error", text, got, err)
		}
	}
}

func FuzzParsePrice(f *testing.F) {
	f.Add("0.25")
	f.Add("9223372036854.775807")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParsePrice(text)
		if err != nil {
			return
		}
		again, err := ParsePrice(fmt.Sprintf("%d.%06d", n/1_000_000, n%1_000_000))
		if err != nil || again != n || n < 0 {
			t.Errorf("%q is %d, then %d, %v", text, n, again, err)
		}
	})
}
