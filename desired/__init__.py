"""The starter desired repo, as data. This file makes it a package, so that no directory called `desired`
where somebody happens to work can stand in for it."""
