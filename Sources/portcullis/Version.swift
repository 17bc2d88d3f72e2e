/// What `portcullis --version` prints; the newest heading of CHANGELOG.md has the same.
let version = "0.2.0"
