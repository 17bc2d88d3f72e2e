"""Prints what a TextMate grammar (argv 1) makes of a file (argv 2): line, text and innermost scope, by the engine that editors use."""
import json
import logging
import sys

from textmate_grammar.parsers.base import LanguageParser

# It tells at length of what no pattern matches.
logging.disable()
parser = LanguageParser(json.load(open(sys.argv[1])))
for (line, _), text, scopes in parser.parse_string(open(sys.argv[2]).read()).flatten():
    print(line, text.strip(), scopes[-1], sep="\t")
