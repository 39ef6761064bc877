"""The seven plots of the built-in corpus: the order of the steps, the same in both languages."""

from __future__ import annotations

STORY = """
story:
  5 {opening} [2/5 {trait} ][1/3 {weather} ]{lost} [1/2 {search} ][1/3 {walk} ][2/3 {sign} ]{meet}
    | {lost_ask} [2/5 {talk} ]{lost_turn} {found} [1/2 {thanks} ]{song} {closing}
  5 {opening} [2/5 {trait} ][1/3 {weather} ]{cook} [1/2 {shopping} ][1/3 {see} ][2/3 {sign} ]{meet}
    | {cook_ask} [2/5 {talk} ]{cook_turn} {cooked} {song} {closing}
  5 {opening} [2/5 {trait} ][1/3 {weather} ]{walk} [1/3 {see} ][2/3 {sign} ]{stuck} {stuck_ask}
    | {rescue} {rescued} [1/2 {gift} ][2/5 {talk} ]{song} {closing}
  4 {opening} [2/5 {trait} ][1/3 {weather} ]{map_found} {map_says} [1/2 {walk} ][1/3 {see} ]{meet}
    | {map_ask} [1/2 {dig} ]{map_prize} [2/3 {sign} ]{song} {closing}
  4 {opening} [2/5 {trait} ]{fair} [1/3 {weather} ][1/2 {practice} ][2/3 {sign} ]{meet} {boast}
    | {contest} {contest_turn} {award} {song} {closing}
  5 {opening} [2/5 {trait} ]{invent} [1/2 {parts} ][2/3 {sign} ]{meet} {invent_ask}
    | [2/5 {talk} ]{first_try} {fix} {second_try} {song} {closing}
  4 {opening} [2/5 {trait} ][1/3 {weather} ]{noise} [1/2 {afraid} ]{creep} {noise_meet} {noise_why}
    | [2/5 {talk} ]{noise_end} [2/3 {sign} ]{song} {closing}
"""
