"""The seven plots of the built-in corpus: the order of the steps, the same in both languages."""

from __future__ import annotations

STORY = """
story:
  5 {opening} [1/5 {trait} ][1/6 {weather} ]{lost} [1/4 {search} ][1/6 {walk} ][1/4 {sign} ]{meet}
    | [1/3 {lost_ask} ][1/4 {talk} ]{lost_turn} {found} [1/3 {thanks} ][1/3 {song} ]{closing}
  5 {opening} [1/5 {trait} ][1/6 {weather} ]{cook} [1/4 {shopping} ][1/6 {see} ][1/4 {sign} ]{meet}
    | [1/3 {cook_ask} ][1/4 {talk} ]{cook_turn} {cooked} [1/3 {song} ]{closing}
  5 {opening} [1/5 {trait} ][1/6 {weather} ]{walk} [1/6 {see} ][1/4 {sign} ]{stuck}
    | [1/3 {stuck_ask} ]{rescue} {rescued} [1/3 {gift} ][1/4 {talk} ][1/3 {song} ]{closing}
  4 {opening} [1/5 {trait} ][1/6 {weather} ]{map_found} {map_says} [1/4 {walk} ][1/6 {see} ]{meet}
    | [1/3 {map_ask} ][1/4 {dig} ]{map_prize} [1/4 {sign} ][1/3 {song} ]{closing}
  4 {opening} [1/5 {trait} ]{fair} [1/6 {weather} ][1/4 {practice} ][1/4 {sign} ]{meet}
    | [1/3 {boast} ]{contest} [1/4 {contest_turn} ]{award} [1/3 {song} ]{closing}
  5 {opening} [1/5 {trait} ]{invent} [1/4 {parts} ][1/4 {sign} ]{meet}
    | [1/3 {invent_ask} ][1/4 {talk} ][1/3 {first_try} ]{fix} {second_try} [1/3 {song} ]{closing}
  4 {opening} [1/5 {trait} ][1/6 {weather} ]{noise} [1/4 {afraid} ][1/3 {creep} ]{noise_meet}
    | {noise_why} [1/4 {talk} ]{noise_end} [1/4 {sign} ][1/3 {song} ]{closing}
"""
