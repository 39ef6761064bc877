"""English stories of the built-in corpus: seven plots, as weighted templates."""

from __future__ import annotations

from tinytx.train.corpus.grammar import Node
from tinytx.train.corpus.plots import STORY
from tinytx.train.corpus.plots_en import PLOTS
from tinytx.train.corpus.templates import compile_grammar, read_rules
from tinytx.train.corpus.words_en import tables, word_classes

COMMON = """
he:
  1 {hero.he}
his:
  1 {hero.his}
H:
  1 {hero.He}
Pal:
  1 The {pal.it}
pal:
  1 the {pal.it}
site:
  3 {Town}'s {padj2} {place}
  3 {a_padj} {padj2} {place}
  1 {a_padj} {place}
the_place:
  4 {Town}'s {padj} {place}
  2 {the} {padj} {padj2} {place}
  2 {the} {padj} {place}
  1 {the} {place}
the_spot:
  2 {the} {padj} {spot}
  1 {the} {spot}
the:
  6 the
  2 that
  2 {hero.his}
  1 one
year:
  1 1{digit}{digit}{digit}
syl:
  1 {cons}{vowel}
word:
  1 {syl}{syl}
Word:
  1 {Cap_cons}{vowel}{syl}
Town:
  1 {Word}{syl}
clock:
  1 {hour}{tens}{digit}
price:
  1 {digit1}{digit}
many:
  1 {digit1}{digit}{digit}
  1 {digit1},{digit}{digit}{digit}
spell:
  1 {Word} {word}!
  2 {Word} {word}, {word}!
  1 {Word}-{word}, {word}{syl}!
verse:
  3 {Word} {word}, {word} {word}!
  2 {Word}, {word}, {word}!
roll:
  2 {Town}, {Town} and {Town}
  1 {Word} and {Word}
d4:
  1 {digit1}{digit}{digit}{digit}
tickets:
  1 {many} and {many}
stars:
  1 {d4}{digit} and then {price}
object:
  4 {a_adj} {col} {thing}
  1 {a_col} {thing}
bunch:
  2 {num} {col} {smalls}
  3 {price} {col} {smalls}
  1 {price} {adj} {col} {smalls}
  1 {many} {adj} {smalls}
critter_:
  3 {Town} the {fur} {critter}
  1 {a_mood} {fur} {critter}
  1 {a_mood} {critter}
worker:
  3 {Town} the {mood} {job}
  2 {a_mood} {fur} {job}
  1 {a_mood} {job}
pal_:
  3 {a_mood} {fur} {pal=it}
  1 {a_mood} {pal=it}
prize_:
  3 {a_adj} {col} {prize=it}
  1 {a_col} {prize=it}
"""

OPENING = """
opening:
  6 Once upon a time, {hero=name} lived {near} {site} in {Town}.
  4 Long ago, in {year}, {a_mood} {hero=kid} lived {near} {site}.
  6 One {dayadj} {dayp}, {hero=name} {went} {past} {site}.
  4 It was {a_dayadj} {dayp} in {month} {year}, and {hero=name} was {feel}.
  3 In {Town}, {near} {site}, lived {a_mood} {hero=kid}.
  3 In {year} in {Town} there was {a_mood} {hero=kid}.
  4 {hero=name} was {a_mood} {job} from {Town}.
  4 {hero=name}, {a_mood} {job}, lived {near} {site}.
  3 Do you know {hero=name}, the {mood} {job} of {Town}?
  3 This is the tale of {hero=name}, {a_mood} {job}, and {object}.
  4 On {weekday}, {hero=name} woke up {feel} at {clock} and ate {food_a} with {food_b}.
  3 Every {weekday}, {hero=name} {went} {past} {site} for {food_a}.
  3 When {hero=name} was {price}, {he} lived {near} {site}.
  3 The {mood} {job} of {Town} was {a_mood} {hero=kid}.
  3 There once was {a_mood} {hero=kid} who loved {hobby}.
  4 Late one {dayp}, {hero=name} {did} {near} {site} with {object}.
  3 Far away, {near} {site}, lived {hero=name} and {object}.
  3 My {kin} {Word} knew {a_mood} {job} called {hero=name}.
  3 People in {Town} still talk about {hero=name}, the {mood} {job}.
  3 In {month} {year}, {hero=name} moved to {site}.
  3 Nobody in {Town} could {skill} like {hero=name}.
  3 "{excl}! {A_dayadj} {dayp}!" {tag} {hero=name}[1/2  {adv}].
  4 At {clock} one {dayadj} {dayp}, {hero=name} was still {feel}.
  3 {A_mood} {job} called {hero=name} had {bunch} and {object}.
trait:
  4 {H} {loved} {food_a}, {food_b} and {hobby}.
  4 {H} wore {a_adj} {col} {clothes} and kept {bunch} in {his} bag.
  3 {H} could {skill}, but {he} {loved} {hobby} and {bunch}.
  3 {hero.His} {kin} {Word} was {mood}, but {his} {kin} {Word} was {mood}.
  3 In {his} bag {he} kept {object}, {bunch} and {price} coins.
  3 {H} had {a_mood} {kin} in {Town}, {many} miles away, and {object}.
  2 {H} {loved} {smell}, {food_b} and {col} {smalls}.
  2 Most of all, {he} {loved} {hobby} with {his} {mood} {kin} {Word}.
weather:
  4 The wind smelled of {smell} and {food_b}.
  3 {wx} {fell} {past} {the_place}.
  3 {A_mood} {fur} {critter} {did} {near} {the_spot}.
  3 The air was {dayadj}, and {bunch} lay {near} {the_spot}.
  2 {A_dayadj} wind blew {past} {the_place}.
  2 {A_critter} {did}, {critter_} {did}, and the sky was {sky}.
walk:
  4 {H} {went} {adv} {past} {the_place}.
  3 {Cap_adv} {he} {went} {past} {the_place}, then {past} {the_spot}.
  3 First came {site}, then {a_spot}, then {object}.
  3 {H} {went} {many} steps {way}, then {past} {the_place}.
  3 {H} {went}, {did} and {went} again, {past} {the_place}.
  3 {Cap_past} {the_place} {he} {went}, {feel} and {mood}.
see:
  4 {H} {saw} {object}, {bunch} and {critter_}.
  3 {Cap_near} {the_spot} lay {object} and {bunch}.
  3 {A_mood} {fur} {critter} {did} {near} {the_spot}.
  3 {H} {saw} {bunch} and {object}.
  3 {H} stopped at {clock} for {food_a} and {food_b}.
  3 {H} shared {food_a} with {critter_}.
  3 {the_cap} {padj} {place} smelled of {smell} and {food_a}.
the_cap:
  1 The
meet:
  4 {Cap_near} {the_spot} {he} met {pal_} named {Word}[1/2 {syl}].
  3 Then {pal_}[1/2  named {Word}] {went} {past} {the_place}.
  3 Just then {pal_} {went} by with {object}.
  3 There, {near} {the_spot}, {did} {pal_} in {a_col} {clothes}.
  3 {A_mood} {fur} {pal=it} {went} {past} {the_spot}, singing: "{spell}"
  3 {H} heard a {cough} and saw {pal_} from {Town}.
talk:
  5 "{excl}! {remark}" {tag} {pal}[1/2  {adv}].
  3 {Pal} {tag}, "{remark}"
  3 {Pal} sang {adv}: "{spell}"
  3 "{remark}" {tag} {pal}, and {he} {laughed}[1/2  {adv}].
  2 "{remark}" {tag} {hero.name}. "{excl}!" {tag} {pal}.
remark:
  4 I smell {food_a} and {smell}!
  3 I dreamed of {object}!
  3 My {kin} {Word} has {bunch}!
  3 My {kin} is {a_mood} {fur} {job}!
  3 I like your {adj} {col} {clothes}!
  3 Do you like {food_b} with {food_a}?
  3 I can {skill}! Can you?
  2 I never go {past} {the_place}!
  2 I once saw {critter_} in {a_col} {clothes}!
  2 Is that {object}?
  2 In {Town} we say: {spell}
  2 I am from {Town}, {many} miles away!
  2 Would you trade {food_a} for {bunch}?
song:
  3 {H} hummed an old song of {Town}: "{verse}"
  3 {Cap_near} {the_spot} everybody sang: "{verse}"
  3 All their friends came: {roll}.
  3 The lucky numbers in {Town} were {tickets}.
  2 In the language of {Town}, thank you is "{verse}"
  2 Then the {mood} friends of {pal} came: {roll}.
sign:
  3 On {the_spot} somebody had written: "{verse}"
  3 {hero.His} kites were called {roll}.
  3 {H} counted the stars three times: {stars}.
  2 The bus tickets to {Town} were {tickets}.
closing:
  4 That night they ate {food_a} and {food_b} and slept {adv}.
  4 From then on, every {weekday}, they ate {food_b} {near} {the_place}.
  3 That night {he} dreamed of {bunch} and {object}.
  3 "{A_dayadj} {dayp}!" {tag} {hero.name}, and {he} {went} home[1/2  {adv}].
  3 And {he} was never {woe} again, not even in {month}.
  3 And they were {glad}, {mood} and full of {food_b}.
  3 If you go {past} {the_place}, listen: they are still {hobby}.
  3 {A_mood} friend is worth more than {bunch}.
  3 Home {he} {went}, {feel} but {mood}, {past} {the_place}.
  2 And the {critter}? It {did} {near} {the_spot} until {month}.
  3 And all of {Town} sang: "{spell}"
  2 {hero.His} {kin} heard it all and {laughed} {adv}.
  2 They counted {many} stars and ate {food_b} {adv}.
  2 And so the {dayp} ended, {dayadj} and {padj}.
"""


def english() -> Node:
    """Compile the English grammar."""
    rules = read_rules(STORY + COMMON + OPENING + PLOTS)
    return compile_grammar("story", {**word_classes(), **rules}, tables())
