"""Spanish stories of the built-in corpus: the same seven plots, as weighted templates."""

from __future__ import annotations

from tinytx.train.corpus.grammar import Node
from tinytx.train.corpus.plots import STORY
from tinytx.train.corpus.plots_es import PLOTS
from tinytx.train.corpus.templates import compile_grammar, read_rules
from tinytx.train.corpus.words_es import tables, word_classes

COMMON = """
Went:
  1 {Cap_went}
Saw:
  1 {Cap_saw}
o:
  1 {hero.o}
po:
  1 {pal.o}
place_m_:
  3 {place_m} de {Town}
  3 {place_m} {cal}o
  1 {pre}o {place_m} {cal}o
place_f_:
  3 {place_f} de {Town}
  3 {place_f} {cal}a
  1 {pre}a {place_f} {cal}a
site:
  1 un {place_m_}
  1 una {place_f_}
spot:
  2 el {spot_m}
  2 la {spot_f}
  1 el {pre}o {spot_m}
  1 la {pre}a {spot_f}
to_place:
  2 {prep} el {place_m_}
  2 {prep} la {place_f_}
  1 {prep} aquel {place_m_}
  1 {prep} aquella {place_f_}
near:
  2 {prep_a} al {place_m_}
  2 {prep_a} a la {place_f_}
  3 {prep_d} del {place_m_}
  3 {prep_d} de la {place_f_}
by:
  2 {prep_a} al {spot_m} {cal}o
  2 {prep_a} a la {spot_f} {cal}a
  3 {prep_d} del {spot_m} {cal}o
  3 {prep_d} de la {spot_f} {cal}a
By:
  2 {Cap_prep_a} al {spot_m} {cal}o
  2 {Cap_prep_a} a la {spot_f} {cal}a
  3 {Cap_prep_d} del {spot_m} {cal}o
  3 {Cap_prep_d} de la {spot_f} {cal}a
object:
  4 un {thing_m} {adj}o {mat}
  4 una {thing_f} {adj}a {mat}
bunch:
  1 {num} {smalls_m} {adj}os
  1 {num} {smalls_f} {adj}as
  2 {price} {smalls_m} {adj}os
  2 {price} {smalls_f} {adj}as
  1 {many} {smalls_m} {adj}os
  1 {many} {smalls_f} {adj}as
critter:
  1 un {critter_m} {fur}o y {mood}o
  1 una {critter_f} {fur}a y {mood}a
  1 un {critter_m} llamado {Town}
  1 una {critter_f} llamada {Town}
Critter:
  1 Un {critter_m} {fur}o y {mood}o
  1 Una {critter_f} {fur}a y {mood}a
worker:
  1 don {Town}
  1 doña {Town}
  1 un {job}o {mood}o
  1 una {job}a {mood}a
kin:
  1 {kin_m}
  1 {kin_f}
kin_:
  1 {kin_m} {mood}o
  1 {kin_f} {mood}a
clothes:
  1 un {clothes_m} {adj}o {cloth}
  1 una {clothes_f} {adj}a {cloth}
pal_:
  1 {pal=a} {fur}{pal.o} y {mood}{pal.o}
prize_:
  1 {prize=a} {adj}{prize.o} {mat}
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
  1 {digit1}.{digit}{digit}{digit}
spell:
  1 ¡{Word} {word}!
  2 ¡{Word} {word}, {word}!
  1 ¡{Word}-{word}, {word}{syl}!
verse:
  3 ¡{Word} {word}, {word} {word}!
  2 ¡{Word}, {word}, {word}!
roll:
  2 {Town}, {Town} y {Town}
  1 {Word} y {Word}
d4:
  1 {digit1}{digit}{digit}{digit}
tickets:
  1 {many} y {many}
stars:
  1 {d4}{digit} y luego {price}
"""

OPENING = """
opening:
  6 Había una vez {hero=kid} que vivía {near}, en {Town}.
  4 Hace mucho, en {year}, {hero=name} vivía {near}.
  6 Una {dayp} {sort}, {hero=name} {went} {to_place}.
  4 Era una {dayp} {sort} de {month} de {year}, y {hero=name} estaba {feel}{o}.
  3 En {Town}, {near}, vivía {hero=kid}.
  3 En {year}, en {Town}, había {hero=kid}, {fur}{o} y {mood}{o}.
  4 {hero=name} era {hero.a} {job}{o} {mood}{o} de {Town}.
  4 {hero=name}, {hero.a} {job}{o} {mood}{o}, vivía {near}.
  3 ¿Conoces a {hero=name}, {hero.the} {job}{o} {mood}{o} de {Town}?
  3 Esta es la historia de {hero=name}, {job}{o} de {Town}, y de {object}.
  4 El {weekday}, {hero=name} despertó {feel}{o} a las {clock} y desayunó {food_a} con {food_b}.
  3 Cada {weekday}, {hero=name} {went} {to_place} a por {food_a}.
  3 A los {price} años, {hero=name} vivía {near}.
  3 Nadie en {Town} sabía {skill} como {hero=name}, {hero.the} {job}{o}.
  3 Érase una vez {hero=kid}, {mood}{o} y {mood}{o}.
  4 A las {clock} de una {dayp} {sort}, {hero=name} aún estaba {feel}{o}.
  3 Muy lejos, {near}, vivía {hero=name} con {object}.
  3 Mi {kin} {Word} conoció a {hero=name}, {job}{o} de {Town}.
  3 En {Town} aún hablan de {hero=name}, {hero.the} {job}{o} {mood}{o}.
  3 En {month} de {year}, {hero=name} se mudó a {site}.
  3 Cuentan que en {Town} {hero=name} tenía {bunch} y {object}.
  3 "¡{excl}! ¡Qué {dayp} tan {sort}!", {tag} {hero=name}[1/2  {adv}].
  3 De {near_} llegó {hero=name}, {hero.a} {job}{o} {mood}{o}.
  3 Este cuento de {Town} empieza con {hero=name} y {object}.
near_:
  1 {site}
trait:
  4 {Loved} {food_a}, {food_b} y {food_c}.
  4 Llevaba {clothes} y guardaba {bunch} en el bolso.
  3 Sabía {skill}, pero prefería {skill} con {bunch}.
  3 Su {kin_m} {Word} era {mood}o, y su {kin_f} {Word} era {mood}a.
  3 En el bolso guardaba {object}, {bunch} y {price} monedas.
  3 Tenía {object} y una {kin_f} en {Town}, a {many} leguas.
  2 Nunca salía sin {object} ni {bunch}.
  2 Lo que más quería era {skill} con su {kin_}, {Word}.
Loved:
  1 {Cap_loved}
food_c:
  1 {bunch}
weather:
  4 El viento olía a {smell} y a {food_b}.
  3 La {wx} {fell} {to_place}.
  3 {Critter} {did} {by}.
  3 El cielo estaba {sky}, y {bunch} brillaban {by}.
  2 Un viento {cal}o soplaba {near}.
  2 La {dayp} era {sort}, y {critter} {did}.
walk:
  4 {Went} {adv} {to_place}.
  3 {Cap_adv} {went} {to_place}, y luego hasta {spot}.
  3 Primero vio {site}, después {object} y al final {spot}.
  3 {Went} {many} pasos al {way}, {to_place}.
  3 {Went}, cantó y {went} otra vez, {near}.
  3 {Went} {to_place}, {feel}{o} y {mood}{o}.
see:
  4 {Saw} {object}, {bunch} y {critter}.
  3 {By} había {object} y {bunch}.
  3 {Critter} {did} {by}.
  3 {Saw} {bunch} y {object}.
  3 A las {clock} paró a comer {food_a} y {food_b}.
  3 Compartió {food_a} con {critter}.
  3 Todo olía a {smell} y a {food_a}, y alguien {did} {by}.
meet:
  4 {By} había {pal_} que se llamaba {Word}[1/2 {syl}].
  3 Entonces {pal_}[1/2  de {Town}] {went} {to_place}.
  3 En eso pasó {pal_} con {object}.
  3 Allí, {by}, {did} {pal_} con {clothes}.
  3 De pronto {pal_} {went} {by}, cantando: "{spell}".
  3 Se oyó {cough}: era {pal_} de {Town}.
talk:
  5 "¡{excl}! {remark}", {tag} {pal.the}[1/2  {adv}].
  3 {pal.The} {tag}: "{remark}".
  3 {pal.The} cantó {adv}: "{spell}".
  3 "{remark}", {tag} {pal.the}, y {hero.name} {laughed}[1/2  {adv}].
  2 "{remark}", {tag} {hero.name}. "¡{excl}!", {tag} {pal.the}.
remark:
  4 ¡Huele a {food_a} y a {smell}!
  3 ¡Anoche soñé con {object}!
  3 ¡Mi {kin} {Word} tiene {bunch}!
  3 ¡Mi {kin_m} es {job}o, {fur}o y {mood}o!
  3 ¡Me gusta mucho la gente {mood}a!
  3 ¿Quieres {food_b} con {food_a}?
  3 ¡Yo sé {skill}! ¿Y tú?
  2 ¡Nunca voy {to_place}!
  2 ¡Una vez vi {critter} con {clothes}!
  2 ¿Eso es {object}?
  2 En {Town} decimos: {spell}
  2 ¡Vengo de {Town}, a {many} leguas!
  2 ¿Cambias {food_a} por {bunch}?
song:
  3 {hero.name} tarareó una canción de {Town}: "{verse}".
  3 {By} todos cantaron: "{verse}".
  3 Vinieron sus amigos: {roll}.
  3 Los números premiados de {Town} fueron {tickets}.
  2 En el idioma de {Town}, gracias se dice "{verse}".
  2 Vinieron también los amigos {pal.of}: {roll}.
sign:
  3 En {spot} alguien había escrito: "{verse}".
  3 Sus cometas se llamaban {roll}.
  3 Contó tres veces las estrellas: {stars}.
  2 Los billetes a {Town} eran {tickets}.
closing:
  4 Aquella noche cenaron {food_a} con {food_b} y durmieron {adv}.
  4 Desde entonces, cada {weekday}, comen {food_b} {near}.
  3 Aquella noche soñó con {bunch} y {object}.
  3 "¡Qué {dayp} tan {sort}!", {tag} {hero.name}, y {went} a casa[1/2  {adv}].
  3 Y nunca más estuvo {woe}{o}, ni siquiera en {month}.
  3 Y terminaron {glad}os, {mood}os y llenos de {food_b}.
  3 Si vas {to_place}, escucha: todavía cantan "{spell}".
  3 Una amistad {mood}a vale más que {bunch}.
  3 Volvió a casa {feel}{o} pero {mood}{o}, {to_place}.
  2 ¿Y el {critter_m}? Aún {did} {by} en {month}.
  3 Y todo {Town} cantó: "{spell}".
  2 Su {kin} lo supo todo y {laughed} {adv}.
  2 Contaron {many} estrellas y cenaron {food_b} {adv}.
  2 Así acabó la {dayp}, {sort} y {sort}.
"""


def spanish() -> Node:
    """Compile the Spanish grammar."""
    rules = read_rules(STORY + COMMON + OPENING + PLOTS)
    return compile_grammar("story", {**word_classes(), **rules}, tables())
