package admin

import (
	"math"
	"regexp"
	"strconv"
	"testing"
)

// Every colour of text can be told from what is behind it, by day and by night (WCAG 2.2,
// 1.4.3: 4.5 to 1).
func TestContrastOfTheOperatorsPage(t *testing.T) {
	css, err := lookFiles.ReadFile("look/look.css")
	if err != nil {
		t.Fatal(err)
	}
	roots := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllSubmatch(css, -1)
	if len(roots) != 2 {
		t.Fatalf("%d sets of colours", len(roots))
	}
	for i, root := range roots {
		colours := map[string]string{}
		for _, c := range regexp.MustCompile(`--([\w-]+): #(\w{6})`).FindAllSubmatch(root[1], -1) {
			colours[string(c[1])] = string(c[2])
		}
		pairs := [][2]string{{"on-bad", "bad"}, {"back", "text"}}
		for _, text := range []string{"text", "quiet", "first", "second", "good", "bad"} {
			pairs = append(pairs, [2]string{text, "back"}, [2]string{text, "card"})
		}
		for _, pair := range pairs {
			if ratio := contrast(t, colours[pair[0]], colours[pair[1]]); ratio < 4.5 {
				t.Errorf("set %d: %s on %s is %.2f to 1", i, pair[0], pair[1], ratio)
			}
		}
	}
}

// contrast is WCAG's ratio of two colours.
func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, colour string) (sum float64) {
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		part, err := strconv.ParseUint(colour[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(part) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
