"""Reading scores: MusicXML and MIDI to notes with syllables, lyrics under notes, and what no voice can sing."""

import zipfile
from pathlib import Path

import pytest

from moksori.errors import BadInput, TextError
from moksori.pipeline.score import Score, SungNote, in_range, read_score, under_notes, without_chords

mido = pytest.importorskip("mido")


def xml_note(step, octave, duration, lyric="", syllabic="single", extra="", alter=0, chord=False) -> str:
    altered = f"<alter>{alter}</alter>" if alter else ""
    words = f"<lyric number='1'><syllabic>{syllabic}</syllabic><text>{lyric}</text></lyric>" if lyric else ""
    return (
        f"<note>{'<chord/>' if chord else ''}<pitch><step>{step}</step>{altered}<octave>{octave}</octave></pitch>"
        f"<duration>{duration}</duration><voice>1</voice>{extra}{words}</note>"
    )


def xml_rest(duration) -> str:
    return f"<note><rest/><duration>{duration}</duration><voice>1</voice></note>"


def musicxml(path: Path, *bars: str, tempo=120, others: str = "", names=("Voice",)) -> Path:
    """A score of two divisions a quarter note, 4/4."""
    head = (
        "<attributes><divisions>2</divisions><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
        f"<direction><sound tempo='{tempo}'/></direction>"
    )
    parts = "".join(
        f"<score-part id='P{n}'><part-name>{name}</part-name></score-part>" for n, name in enumerate(names, 1)
    )
    body = "".join(f"<measure number='{n}'>{head if n == 1 else ''}{bar}</measure>" for n, bar in enumerate(bars, 1))
    first = f"<part id='P1'>{body}</part>"
    path.write_text(
        "<?xml version='1.0' encoding='UTF-8'?><score-partwise version='3.1'>"
        f"<part-list>{parts}</part-list>{first}{others}</score-partwise>"
    )
    return path


def midi_file(path: Path, notes, lyrics=(), tempo=500000, name="melody", kind="lyrics", charset="latin1") -> Path:
    """notes: (start, end, pitch), lyrics: (start, text), in beats of 480 ticks."""
    events = [(round(s * 480), 1, mido.Message("note_on", note=p, velocity=80)) for s, _, p in notes]
    events += [(round(e * 480), 0, mido.Message("note_off", note=p, velocity=0)) for _, e, p in notes]
    events += [(round(s * 480), 1, mido.MetaMessage(kind, text=text)) for s, text in lyrics]
    track, now = mido.MidiTrack([mido.MetaMessage("track_name", name=name)]), 0
    track.append(mido.MetaMessage("set_tempo", tempo=tempo))
    for tick, _, message in sorted(events, key=lambda event: (event[0], event[1])):
        track.append(message.copy(time=tick - now))
        now = tick
    file = mido.MidiFile(ticks_per_beat=480, charset=charset)
    file.tracks.append(track)
    file.save(str(path))
    return path


TWINKLE = [(0, 1, 60), (1, 2, 60), (2, 3, 67), (3, 4, 67), (4, 5, 69), (5, 6, 69), (6, 8, 67)]
WORDS = "Twin-kle twin-kle lit-tle star"


def shape(score: Score) -> list[tuple[float, float, int, str, bool]]:
    return [(round(n.start_seconds, 4), round(n.end_seconds, 4), n.pitch, n.syllable, n.ends_word) for n in score.notes]


def test_musicxml_gives_notes_in_seconds_with_syllables(tmp_path) -> None:
    pytest.importorskip("music21")
    path = musicxml(
        tmp_path / "song.musicxml",
        xml_note("C", 4, 2, "Twin", "begin") + xml_note("C", 4, 2, "kle", "end") + xml_rest(2)
        + xml_note("F", 4, 2, "star", alter=1),
        xml_note("F", 4, 4, alter=1) + xml_note("G", 4, 4, "bright"),
        tempo=60,
    )  # fmt: skip
    assert shape(read_score(path)) == [
        (0.0, 1.0, 60, "Twin", False), (1.0, 2.0, 60, "kle", True), (3.0, 4.0, 66, "star", True),
        (4.0, 6.0, 66, "", True), (6.0, 8.0, 67, "bright", True),
    ]  # fmt: skip
    assert read_score(path).notes[2].named == "bar 1: F#4"


def test_musicxml_ties_are_one_note_and_graces_are_left_out(tmp_path) -> None:
    pytest.importorskip("music21")
    grace = "<note><grace/><pitch><step>D</step><octave>5</octave></pitch><voice>1</voice></note>"
    path = musicxml(
        tmp_path / "song.musicxml",
        grace + xml_note("C", 4, 8, "long", extra="<tie type='start'/>"),
        xml_note("C", 4, 4, extra="<tie type='stop'/>") + xml_note("D", 4, 4, "end"),
    )
    score = read_score(path)
    assert shape(score) == [(0.0, 3.0, 60, "long", True), (3.0, 4.0, 62, "end", True)]
    assert any("grace" in remark for remark in score.remarks)


def test_musicxml_parts_are_chosen_by_lyrics_name_or_number(tmp_path) -> None:
    pytest.importorskip("music21")
    other = f"<part id='P2'><measure number='1'>{xml_note('E', 4, 8, 'la')}</measure></part>"
    path = musicxml(tmp_path / "song.musicxml", xml_note("C", 5, 8), others=other, names=("Piano", "Alto"))
    assert read_score(path).notes[0].pitch == 64
    assert read_score(path, part="alto").notes[0].pitch == 64
    with pytest.raises(BadInput, match="no lyrics"):
        read_score(path, part="1")
    with pytest.raises(BadInput, match=r"no part 'Bass': it has 1 \(Piano\), 2 \(Alto\)"):
        read_score(path, part="Bass")


def test_musicxml_chords_are_refused_or_chosen_from(tmp_path) -> None:
    pytest.importorskip("music21")
    bar = xml_note("C", 4, 4, "oh") + xml_note("E", 4, 4, chord=True) + xml_note("D", 4, 4, "no")
    path = musicxml(tmp_path / "song.musicxml", bar)
    with pytest.raises(BadInput, match="bar 1: C4 and E4 sound together"):
        read_score(path)
    assert [note.pitch for note in read_score(path, chords="highest").notes] == [64, 62]
    lowest = read_score(path, chords="lowest")
    assert [(note.pitch, note.syllable) for note in lowest.notes] == [(60, "oh"), (62, "no")]


def test_a_note_after_a_rest_needs_a_syllable(tmp_path) -> None:
    pytest.importorskip("music21")
    bar = xml_note("C", 4, 2, "oh") + xml_rest(2) + xml_note("D", 4, 4)
    with pytest.raises(BadInput, match="bar 1: D4: stands after a rest"):
        read_score(musicxml(tmp_path / "song.musicxml", bar))


def test_musicxml_verses_repeats_chord_symbols_and_zipped_files(tmp_path) -> None:
    pytest.importorskip("music21")
    second = "<lyric number='2'><syllabic>single</syllabic><text>two</text></lyric>"
    harmony = "<harmony><root><root-step>C</root-step></root><kind>major</kind></harmony>"
    repeat = "<barline location='right'><repeat direction='backward'/></barline>"
    bar = harmony + xml_note("C", 4, 8, "one").replace("</note>", second + "</note>") + repeat
    path = musicxml(tmp_path / "song.musicxml", bar)
    score = read_score(path)
    assert shape(score) == [(0.0, 2.0, 60, "one", True)]
    assert any("repeats are sung once" in remark for remark in score.remarks)
    assert read_score(path, verse=2).notes[0].syllable == "two"
    with pytest.raises(BadInput, match="no lyrics"):
        read_score(path, verse=3)
    with zipfile.ZipFile(tmp_path / "song.mxl", "w") as zipped:
        zipped.writestr(
            "META-INF/container.xml",
            "<container><rootfiles><rootfile full-path='song.musicxml'/></rootfiles></container>",
        )
        zipped.write(path, "song.musicxml")
    assert shape(read_score(tmp_path / "song.mxl")) == shape(score)


@pytest.mark.parametrize("content", [b"", b"no xml at all", b"<score-partwise></score-partwise>", b"PK\x03\x04rubbish"])
def test_broken_musicxml_is_told(tmp_path, content) -> None:
    pytest.importorskip("music21")
    path = tmp_path / "song.musicxml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"song\.musicxml"):
        read_score(path)


def test_midi_with_lyrics_of_its_own(tmp_path) -> None:
    lyrics = [(0, "Twin-"), (1, "kle"), (2, "twin-"), (3, "kle"), (4, "lit-"), (5, "tle"), (6, "star")]
    score = read_score(midi_file(tmp_path / "tune.mid", TWINKLE, lyrics))
    assert [note.syllable for note in score.notes] == ["Twin", "kle", "twin", "kle", "lit", "tle", "star"]
    assert [note.ends_word for note in score.notes] == [False, True, False, True, False, True, True]
    assert score.notes[6].end_seconds == pytest.approx(4.0)


def test_midi_karaoke_tells_words_by_spaces(tmp_path) -> None:
    lyrics = [(0, "\\Twin"), (1, "kle"), (2, " twin"), (3, "kle"), (4, "/lit"), (5, "tle"), (6, " star")]
    score = read_score(midi_file(tmp_path / "tune.kar", TWINKLE, lyrics, kind="text"))
    assert [note.ends_word for note in score.notes] == [False, True, False, True, False, True, True]


@pytest.mark.parametrize("kind", ["lyrics", "text"])
@pytest.mark.parametrize(
    ("charset", "words"),
    [("utf-8", ("schön", "grüßt", "Süd")), ("utf-8", ("노", "래", "를")), ("latin1", ("schön", "grüßt", "Süd"))],
)
def test_midi_lyrics_are_read_in_their_encoding(tmp_path, charset, words, kind) -> None:
    tune = [(place, place + 1, 60) for place in range(3)]
    path = midi_file(tmp_path / "tune.mid", tune, list(enumerate(words)), name=words[1], kind=kind, charset=charset)
    assert [note.syllable for note in read_score(path, part=words[1]).notes] == list(words)


def test_midi_follows_changes_of_tempo(tmp_path) -> None:
    path = midi_file(tmp_path / "tune.mid", [(0, 1, 60), (1, 2, 62)], [(0, "a"), (1, "b")], tempo=1_000_000)
    file = mido.MidiFile(str(path))
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=250_000, time=480)]))
    file.save(str(path))
    assert [(n.start_seconds, n.end_seconds) for n in read_score(path).notes] == [(0.0, 1.0), (1.0, 1.25)]


def test_midi_of_players_who_hold_on_a_little(tmp_path) -> None:
    path = midi_file(tmp_path / "tune.mid", [(0, 1.1, 60), (1, 2, 62)], [(0, "a"), (1, "b")])
    assert [(n.start_seconds, n.end_seconds) for n in read_score(path).notes] == [(0.0, 0.5), (0.5, 1.0)]


@pytest.mark.parametrize(
    "content", [b"", b"MThd", b"MThd\x00\x00\x00\x06\x00\x01\x00\x02\x01\xe0MTrk\xff\xff", b"RIFF"]
)
def test_broken_midi_is_told(tmp_path, content) -> None:
    path = tmp_path / "tune.mid"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"tune\.mid"):
        read_score(path)


def test_midi_without_words_or_notes_is_told(tmp_path) -> None:
    with pytest.raises(BadInput, match="no lyrics"):
        read_score(midi_file(tmp_path / "tune.mid", TWINKLE))
    with pytest.raises(BadInput, match="no notes"):
        read_score(midi_file(tmp_path / "empty.mid", []))


def test_lyrics_are_laid_under_the_notes(tmp_path) -> None:
    path = midi_file(tmp_path / "tune.mid", TWINKLE)
    score = read_score(path, lyrics=WORDS)
    assert [note.syllable for note in score.notes] == ["Twin", "kle", "twin", "kle", "lit", "tle", "star"]
    plain = read_score(
        path, lyrics="Twinkle, twinkle little star!", syllables_of=lambda word: 1 if "star" in word else 2
    )
    assert [note.syllable for note in plain.notes] == ["Twinkle,", "", "twinkle", "", "little", "", "star!"]
    held = read_score(path, lyrics="Twin-kle twin-kle star _ _")
    assert [note.syllable for note in held.notes][4:] == ["star", "", ""]
    assert [note.syllable for note in read_score(path, lyrics="Twin-kle twin-kle star__").notes][4:] == ["star", "", ""]
    with pytest.raises(TextError, match="6 syllables for 7 notes"):
        read_score(path, lyrics="Twin-kle twin-kle lit-tle")
    with pytest.raises(TextError, match="begin with _"):
        under_notes(score, "_ a b c d e f", lambda word: 1)


def test_notes_that_nobody_sings_are_told() -> None:
    score = Score("song", (SungNote(0.0, 1.0, 30, "oh", place="note 1"),))
    with pytest.raises(BadInput, match=r"song, note 1: F#1: 46 Hz is out of a voice's range, .* --key 12"):
        in_range(score)
    assert in_range(score.moved(24)).notes[0].pitch == 54
    with pytest.raises(BadInput, match="minutes"):
        in_range(Score("song", (SungNote(0.0, 1300.0, 60, "oh"),)))


@pytest.mark.parametrize(
    ("pitches", "moved", "remedy"),
    [
        ((76, 100), 0, "--key -24"),  # E7: an octave is not enough
        ((40, 88), 0, "--key -4"),  # no octave brings both ends in
        ((60, 96), 36, "--key 12"),  # moved up by 36 already: counted from the score as it is written
        ((127,), 0, "no --key up to 36 semitones moves it there: write it some octaves lower"),
        ((20, 100), 0, "it spans 80 semitones"),
    ],
)
def test_the_key_that_is_advised_brings_a_song_into_range(pitches, moved, remedy) -> None:
    song = Score("song", tuple(SungNote(float(n), n + 1.0, pitch, "oh") for n, pitch in enumerate(pitches)))
    with pytest.raises(BadInput) as told:
        in_range(song, moved)
    assert remedy in str(told.value)
    if remedy.startswith("--key"):
        in_range(song.moved(int(remedy.split()[1]) - moved))


def test_a_chord_in_the_middle_of_a_note_is_a_chord() -> None:
    notes = [SungNote(0.0, 2.0, 60, "a", place="note 1"), SungNote(1.0, 2.0, 64, "b", place="note 2")]
    with pytest.raises(BadInput, match="sound together"):
        without_chords(notes, "song", "refuse")


def test_other_files_are_refused(tmp_path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        read_score(tmp_path / "no.mid")
    (tmp_path / "song.pdf").write_bytes(b"%PDF")
    with pytest.raises(BadInput, match=r"\.pdf: expected a score"):
        read_score(tmp_path / "song.pdf")


def test_moved_and_median() -> None:
    score = Score("song", (SungNote(0.0, 1.0, 60, "a"), SungNote(1.0, 4.0, 67, "b")))
    assert score.median_pitch == 67
    faster = score.moved(-12, 2.0)
    assert (faster.notes[1].start_seconds, faster.notes[1].pitch) == (0.5, 55)
