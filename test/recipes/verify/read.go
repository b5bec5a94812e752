// SPDX-License-Identifier: MIT

// Go: passes on standard input, one a line.
package main

import (
	"bufio"
	"fmt"
	"os"

	"tiketi"
)

func main() {
	passes := &tiketi.Passes{URL: os.Args[1], Event: os.Args[2]}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if buyer, err := passes.Buyer(lines.Text()); err == nil {
			fmt.Println("yes", buyer.ExpiresAt.Unix(), buyer.Subject)
		} else {
			fmt.Println("no")
		}
	}
}
