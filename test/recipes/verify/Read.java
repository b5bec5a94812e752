// SPDX-License-Identifier: MIT
// Java: passes on standard input, one a line.
import java.io.PrintStream;
import java.util.Scanner;

public class Read {
    public static void main(String[] args) throws Exception {
        var passes = new Passes(args[0], args[1]);
        var out = new PrintStream(System.out, true, "UTF-8");
        for (var lines = new Scanner(System.in, "UTF-8"); lines.hasNextLine();) {
            String claims = passes.claims(lines.nextLine());
            out.println(claims == null ? "no" : "yes " + Passes.member(claims, "exp", "(\\d+)") + " " + Passes.text(claims, "sub"));
        }
    }
}
