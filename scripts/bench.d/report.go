//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

var nan = math.NaN()

// A report is Markdown that is also laid out to be read as it is.
type report struct {
	w io.Writer
}

func (p report) heading(level int, text string) {
	fmt.Fprintf(p.w, "\n%s %s\n\n", strings.Repeat("#", level), text)
}

func (p report) text(format string, values ...any) {
	fmt.Fprintf(p.w, format+"\n", values...)
}

func (p report) bars(bars ...bar) {
	if len(bars) > 0 {
		fmt.Fprintln(p.w)
	}
	for _, b := range bars {
		fmt.Fprintf(p.w, "- %s\n", b)
	}
}

// table writes rows in columns of one width; all but the first are numbers.
func (p report) table(head []string, rows [][]string) {
	width := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			row[i] = strings.ReplaceAll(cell, "|", "\\|")
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	line := func(row []string) {
		for i, cell := range row {
			gap := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprintf(p.w, "| %s%s ", cell, gap)
			} else {
				fmt.Fprintf(p.w, "| %s%s ", gap, cell)
			}
		}
		fmt.Fprintln(p.w, "|")
	}
	line(head)
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = strings.Repeat("-", width[i])
		if i > 0 {
			rule[i] = rule[i][1:] + ":"
		}
	}
	line(rule)
	for _, row := range rows {
		line(row)
	}
}

// result writes a contest's table.
func (p report) result(r *result) {
	p.heading(3, r.title)
	head := []string{"", "wall s", "× wall", "CPU s", "× CPU"}
	servers := slices.ContainsFunc(r.steps, func(s step) bool { return s.servers != nil })
	files := slices.ContainsFunc(r.steps, func(s step) bool { return s.made != "" })
	if servers {
		head = append(head, "server CPU s", "server MiB")
	}
	head = append(head, "peak MiB")
	if files {
		head = append(head, "MB made", "× bytes")
	}
	var rows [][]string
	for _, s := range r.steps {
		row := []string{s.name,
			number(r.median(s.name, wall)), number(r.ratio(s.name, r.reference, wall)),
			number(r.median(s.name, cpu)), number(r.ratio(s.name, r.reference, cpu))}
		if servers {
			row = append(row, number(r.median(s.name, server)), mebibytes(r.serverPeak(s.name)))
		}
		row = append(row, mebibytes(r.peak(s.name)))
		if files {
			row = append(row, megabytes(r.median(s.name, made)), number(r.ratio(s.name, r.reference, made)))
		}
		rows = append(rows, row)
	}
	p.table(head, rows)
	fmt.Fprintln(p.w)
	if r.note != "" {
		p.text("%s", r.note)
	}
	p.text("× is against %s. %s; load average before each: %s.", r.reference, plural(r.rounds, "round"), list(r.load))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func list(values []float64) string {
	var all []string
	for _, v := range values {
		all = append(all, fmt.Sprintf("%.1f", v))
	}
	return strings.Join(all, ", ")
}

func number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	return fmt.Sprintf("%.2f", v)
}

func mebibytes(n int64) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprint((n + 1<<19) >> 20)
}

func megabytes(n float64) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", n/1e6)
}
