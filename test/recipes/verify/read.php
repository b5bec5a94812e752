<?php
// SPDX-License-Identifier: MIT
// PHP: passes on standard input, one a line.
error_reporting(E_ALL);
set_error_handler(fn ($level, $text) => error_reporting() & $level ? throw new ErrorException($text) : false);
require __DIR__ . '/../../../docs/integrate/verify/passes.php';
$passes = new Passes($argv[1], $argv[2], $argv[3]);
while (($line = fgets(STDIN)) !== false) {
    $buyer = $passes->buyer(rtrim($line, "\n"));
    echo $buyer ? "yes {$buyer['exp']} {$buyer['sub']}\n" : "no\n";
}
