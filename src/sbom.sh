#!/bin/sh
# SPDX-License-Identifier: MIT
#
# src/sbom.sh PACKAGE.JSON: the bill of materials of the system it runs in, as SPDX 2.3 in JSON: tiketi, every installed
# Debian package with its source, and what the pages bundle from npm. Run while an image is built (Dockerfile), so it
# needs dpkg, awk and sed alone. SOURCE_DATE_EPOCH is its date, if set.

set -eu
export LC_ALL=C

npm=$1
product=$(/usr/bin/tiketi --version) # tiketi 0.1.0 (0123456789ab)
version=$(printf '%s' "$product" | cut -d ' ' -f 2)
commit=$(printf '%s' "$product" | sed 's/.*(\(.*\))/\1/')
distribution=$(. /etc/os-release && printf '%s-%s' "$ID" "$VERSION_ID")
created=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y-%m-%dT%H:%M:%SZ)
tab=$(printf '\t')

{
    # shellcheck disable=SC2016  # dpkg-query's own names
    dpkg-query -W -f 'deb\t${binary:Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${Maintainer}\t${Homepage}\t${db:Status-Status}\n'
    sed -n '/"dependencies"/,/}/s/^    "\([^"]*\)": "\([^"]*\)".*/npm\t\1\t\2/p' "$npm"
} | awk -F "$tab" -v version="$version" -v commit="$commit" -v distribution="$distribution" -v created="$created" '
    function text(value) {
        gsub(/\\/, "\\\\", value)
        gsub(/"/, "\\\"", value)
        return "\"" value "\""
    }
    # As a part of a package URL.
    function escaped(value) {
        gsub(/%/, "%25", value)
        gsub(/\+/, "%2B", value)
        gsub(/:/, "%3A", value)
        gsub(/@/, "%40", value)
        return value
    }
    function reference(url) {
        return "{ \"referenceCategory\": \"PACKAGE-MANAGER\", \"referenceType\": \"purl\", \"referenceLocator\": " text(url) " }"
    }
    # id: letters, digits, dots and dashes are what SPDX allows.
    function package(id, name, version, supplier, homepage, source, license, url) {
        gsub(/[^A-Za-z0-9.-]/, "-", id)
        ids[++count] = "SPDXRef-" id
        printf "%s    {\n      \"SPDXID\": \"%s\",\n", (count == 1 ? "" : ",\n"), ids[count]
        printf "      \"name\": %s,\n      \"versionInfo\": %s,\n", text(name), text(version)
        printf "      \"supplier\": %s,\n", text(supplier)
        if (homepage != "") printf "      \"homepage\": %s,\n", text(homepage)
        if (source != "") printf "      \"sourceInfo\": %s,\n", text(source)
        printf "      \"downloadLocation\": \"NOASSERTION\",\n      \"filesAnalyzed\": false,\n"
        printf "      \"licenseConcluded\": \"NOASSERTION\",\n      \"licenseDeclared\": \"%s\",\n", license
        printf "      \"copyrightText\": \"NOASSERTION\",\n      \"externalRefs\": [%s]\n    }", reference(url)
    }
    BEGIN {
        printf "{\n  \"spdxVersion\": \"SPDX-2.3\",\n  \"dataLicense\": \"CC0-1.0\",\n  \"SPDXID\": \"SPDXRef-DOCUMENT\",\n"
        printf "  \"name\": \"tiketi-%s\",\n", version
        printf "  \"documentNamespace\": \"https://spdx.org/spdxdocs/tiketi-%s-%s-%s\",\n", version, commit, created
        printf "  \"creationInfo\": { \"created\": \"%s\", \"creators\": [\"Tool: tiketi-src/sbom.sh-%s\"] },\n", created, version
        printf "  \"packages\": [\n"
        package("tiketi", "tiketi", version, "NOASSERTION", "", "commit " commit, "MIT", "pkg:generic/tiketi@" version "?vcs_revision=" commit)
    }
    $1 == "deb" && $9 == "installed" {
        name = $2
        sub(/:.*/, "", name)
        sub(/ </, " (", $7)
        sub(/>$/, ")", $7)
        url = "pkg:deb/debian/" escaped(name) "@" escaped($3) "?arch=" $4 "&distro=" distribution
        package("deb-" name "-" $4, name, $3, "Organization: " $7, $8, "built from source package " $5 " " $6, "NOASSERTION", url)
    }
    $1 == "npm" {
        package("npm-" $2, $2, $3, "NOASSERTION", "", "bundled with the pages", "NOASSERTION", "pkg:npm/" escaped($2) "@" $3)
    }
    END {
        printf "\n  ],\n  \"relationships\": [\n"
        printf "    { \"spdxElementId\": \"SPDXRef-DOCUMENT\", \"relationshipType\": \"DESCRIBES\", \"relatedSpdxElement\": \"%s\" }", ids[1]
        for (i = 2; i <= count; i++)
            printf ",\n    { \"spdxElementId\": \"%s\", \"relationshipType\": \"%s\", \"relatedSpdxElement\": \"%s\" }", \
                ids[1], (ids[i] ~ /^SPDXRef-npm-/ ? "CONTAINS" : "DEPENDS_ON"), ids[i]
        printf "\n  ]\n}\n"
    }'
