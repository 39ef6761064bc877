"""What happens in the Spanish stories: the steps of the seven plots."""

PLOTS = """
lost:
  3 Una {dayp} desapareció su {prize=it} {adj}{prize.o} {mat}.
  3 "¿Dónde está mi {prize=it} {adj}{prize.o}?", {asked} {hero.name}[1/2  {adv}].
  2 Pero perdió su {prize=it} {adj}{prize.o} {near}.
  2 ¡Ay! Faltaba {prize=the} {adj}{prize.o} de su {kin}.
search:
  3 Buscó {adv} bajo {bunch} y {object}.
  3 Preguntó a {critter}, a {worker} y a todo {Town}.
  2 Buscó {near}, {by} y dentro de {object}.
  2 En el bolso había {bunch}, {object} y {food_a}, pero no {prize.the}.
lost_ask:
  3 "¿Ese es mi tesoro, {prize.the}?", {asked} {hero.name}[1/2  {adv}].
  2 "Mi {prize.it} cayó {near}", {tag} {hero.name}.
  2 "¡{excl}! Necesito mi {prize.it} el {weekday}", {tag} {hero.name}.
  2 "Te veo {feel}{o}", {tag} {pal.the}[1/2  {adv}].
lost_turn:
  3 "Mira {by}", {tag} {pal.the}[1/2  {adv}].
  3 "¡{Critter} se {prize.lo} llevó {to_place}!", {tag} {pal.the}.
  2 {pal.The} {went} {adv} {to_place}, y {hero.name} también.
  2 {pal.The} olfateó: ¡{smell}, {food_b}, {food_a} y {prize.it}!
found:
  3 ¡Y allí estaba, entre {object} y {bunch}!
  3 Allí {did} {critter}, y a su lado estaba {prize.the}.
  2 Por fin apareció {by}, {adj}{prize.o} y {adj}{prize.o}.
  2 "¡{excl}!", {tag} {hero.name}. Estaba dentro de {object}.
thanks:
  3 {hero.name} regaló {pal.to} {bunch} y {food_b}.
  3 Dio las gracias {pal.to} {adv}, y también {object}.
  2 "Gracias, {mood}{po} y {mood}{po}", {tag} {hero.name}[1/2  {adv}].
cook:
  3 Quería hacer {food_a} con {food_b} para su {kin_}.
  3 Su {kin_f} estaba {woe}a, y había que guisar {food_a} antes de las {clock}.
  2 En casa no había {food_a}, solo {food_b} y {object}.
  2 "Haz {food_a} para el {weekday}", {tag} su {kin_}.
shopping:
  3 Necesitaba {bunch}, {food_a}, {food_b} y {object}.
  3 {Went} {to_place} para comprar {food_b} y {bunch}.
  2 En {Town} compró {food_a} por {price} monedas y {food_b} por {price}.
cook_ask:
  3 "¿Tienes {food_b}?", {asked} {hero.name}[1/2  {adv}].
  3 "¡Quiero {food_a}", {tag} {pal.the}, "y también {food_b}!".
  2 "Son {price} monedas por {food_b}", {tag} {pal.the}[1/2  {adv}].
cook_turn:
  3 {pal.The} cambió {food_b} por {object}.
  3 Pero todo cayó {by}, y {pal.the} comió {adv}.
  2 Removió {price} veces, añadió {food_b} y cantó: "{spell}".
  2 Entonces cayó la olla {adj}a. ¡{Cap_sound}! ¡{Cap_sound}! {pal.The} {laughed}.
cooked:
  3 Olía a {smell} y a {food_b}, y su {kin} {did}.
  3 Comieron {food_a} y {food_b} {adv} y cantaron: "{spell}".
  2 {Critter}, {critter} y {worker} vinieron a comer.
stuck:
  3 {By} había {pal_} dentro de {object}, sin poder salir.
  3 {By}, bajo {object}, {did} {pal_}.
  2 "¡Socorro!", {tag} {pal_} desde una red {adj}a.
  2 Oyó gritar a {pal_} {near}.
stuck_ask:
  3 "¡{excl}! ¿Tienes {food_a}?", {asked} {hero.name}[1/2  {adv}].
  3 "Quería {food_b} y ahora estoy {woe}{po}", {tag} {pal.the}.
  2 "Llevo aquí desde el {weekday}", {tag} {pal.the}[1/2  {adv}].
rescue:
  3 {hero.name} tiró {adv} con {object}. Nada.
  3 {hero.name} probó con {tool}, {object} y {bunch}.
  2 {hero.name} llamó a {critter} y dijo: "{spell}".
rescued:
  3 ¡{Cap_sound}! Salió {pal.the}, {feel}{po} y {mood}{po}.
  3 Cantaron "{spell}" y {adv} salió {pal.the}.
  2 Luego usó {tool} y {food_a}. ¡{Cap_sound}! ¡Funcionó!
gift:
  3 {pal.The} le dio {prize_} y {bunch}.
  3 "Toma {prize_}", {tag} {pal.the}[1/2  {adv}].
  2 {pal.The} no tenía {prize=it}, y le dio {food_b} y {object}.
map_found:
  3 Bajo {object} encontró un mapa {adj}o.
  3 {Critter} le trajo una carta {adj}a con {bunch}.
  2 En {clothes} de su {kin} había un mapa.
map_says:
  3 Decía: "{many} pasos al {way}, {price} al {way} y luego {by}".
  3 Decía: "Ve al {way} desde {spot}, {to_place}".
  2 Mostraba {site}, {spot} y las palabras "{spell}".
map_ask:
  3 "¿Dónde está {spot}?", {asked} {hero.name}[1/2  {adv}].
  3 "Anda {many} pasos al {way} y pregunta a {critter}", {tag} {pal.the}.
  2 "¡Un mapa! Traeré {food_a} y {object}", {tag} {pal.the}.
dig:
  3 Cavaron {by} hasta las {clock} con {object}.
  3 Dijeron las palabras secretas, "{spell}" y salió {object}.
  2 Primero salió {object}; luego, {bunch}. ¡{Cap_sound}!
map_prize:
  3 ¡Al fin, {feel}{o} y {feel}{o}, {hero.name} encontró {prize_}!
  3 En una caja {adj}a {did} {critter} con {prize_}.
  2 El tesoro era {prize_} y una nota: "{remark}".
fair:
  3 El {weekday} había un concurso de {race} en {Town} a las {clock}.
  3 Quería ganar el concurso de {race} de {month}.
  2 "¡Ven al concurso de {race}!", {tag} {worker}. "¡Gana {object}!".
practice:
  3 Ensayó hasta las {clock} con {object} y {bunch}.
  3 Cada {dayp} {went} {price} veces {to_place}.
  2 Su {kin} ayudó con {food_a}, {tool} y {object}.
boast:
  3 "Soy {mood}{po} y {mood}{po}", {tag} {pal.the}. "¡Ganaré!".
  3 "¡Gané {price} carreras en {Town}!", {tag} {pal.the}[1/2  {adv}].
  2 "Estás muy {feel}{o} para ganar", {tag} {pal.the} {adv}.
contest:
  3 ¡{Cap_sound}! Salieron {to_place}, hasta {spot}.
  3 {pal.The} {went} {adv}. {hero.name} {went} {adv}.
  2 El público de {Town} cantaba: "{spell}".
contest_turn:
  3 Pero {pal.the} tropezó con {object}, y {hero.name} paró a ayudar.
  3 Entonces {critter} saltó sobre {pal.the}. ¡{Cap_sound}!
  2 A mitad, {pal.the} estaba {feel}{po}, y {hero.name} le dio {food_b}.
award:
  3 Llegaron al final, pero ganaron {prize_} con {bunch}.
  3 {hero.name} ganó {prize_}, y {pal.the} ganó {bunch}.
  2 El {job}o {mood}o les dio {food_b} y {prize_}.
invent:
  3 Quería construir {machine} con {object}.
  3 "Haré {machine} para {month}", {tag} {hero.name} una {dayp}.
  2 Su {kin_} necesitaba {machine} antes del {weekday}.
parts:
  3 Tomó {object}, {bunch}, {tool} y {object}.
  3 Encontró {bunch} {by} y {tool} {near}.
  2 Su {kin} le dio {tool}, {object} y {food_a}.
invent_ask:
  3 "¿Qué es? ¿{Object}?", {asked} {pal.the}.
  3 "Faltan {tool} y {price} {smalls_f} {adj}as", {tag} {pal.the}[1/2  {adv}].
  2 "¿Ayudo? Tengo {object}", {tag} {pal.the}.
Object:
  1 Un {thing_m} {adj}o {mat}
  1 Una {thing_f} {adj}a {mat}
first_try:
  3 ¡{Cap_sound}! ¡{Cap_sound}! El invento {went} {by}.
  3 El invento {went} {adv} {to_place} y perdió {bunch}.
  2 El invento {did} {adv}, olía a {smell} y paró. ¡{Cap_sound}!
fix:
  3 {pal.The} añadió {tool} y dijo: "{spell}".
  3 {hero.name} estaba {woe}{o}, pero {pal.the} trajo {bunch} y {tool}.
  2 "¡Más {tool}!", {tag} {pal.the}. "¡Menos {food_b}!".
second_try:
  3 Esta vez {went} {adv} {to_place}.
  3 ¡{Cap_sound}! Funcionó, y {critter} {did} encima.
  2 Ahora {did} como {critter}, y {hero.name} {laughed} {adv}.
noise:
  3 Se oyó un ruido {by}: ¡{Cap_sound}, {sound}!
  3 Algo cantaba {near}: "{spell}".
  2 A las {clock} cayó {object}. ¡{Cap_sound}!
afraid:
  3 "¿Es {critter}?", {asked} {hero.name}. "¿Es {object}?".
  3 {hero.name}, {woe}{o}, se escondió tras {object}.
  2 Su {kin} {did}, y {hero.name} tomó {object} y {bunch}.
creep:
  3 {Cap_adv}, {adv}, {went} {to_place}.
  3 {Went} {price} pasos y paró {by}.
  2 Se puso {clothes} y salió {adv}.
noise_meet:
  3 Solo era {pal_} con {object}.
  3 Allí {did} {pal_}, {feel}{po} y {feel}{po}.
  2 Brillaron dos ojos: {pal_} comía {food_b}.
noise_why:
  3 "Quería {skill}", {tag} {pal.the}, "y tropecé con {object}".
  3 "Perdí {bunch} {near}", {tag} {pal.the}.
  2 "Vengo de {Town} y estoy {feel}{po}", {tag} {pal.the}.
noise_end:
  3 {hero.name} le dio {food_b}, {food_a} y {clothes}.
  3 Buscaron {adv} y hallaron {bunch} y {object}.
  2 Luego cantaron {by}: "{spell}".
"""
