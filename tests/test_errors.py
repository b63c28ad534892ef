from convlens.errors import printable


def test_commands_to_the_terminal_are_shown_and_not_sent():
    assert printable("\x1b[2Jcat\n.jpg") == "\\x1b[2Jcat\\n.jpg"


def test_what_may_stay_stays():
    assert printable("Mücke 猫 99.4\u00a0% (3\u202f000)") == "Mücke 猫 99.4\u00a0% (3\u202f000)"
    assert printable("one\ntwo\r", keep="\n") == "one\ntwo\\r"
