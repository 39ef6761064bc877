"""Spanish words of the built-in corpus: data, in tiers `common / usual / rare`.

Adjectives and trades are stems that take -o, -a, -os or -as. No word begins with the sound i, so
"y" never has to become "e", and no feminine noun with a stressed a, so "la" never becomes "el".
"""

from __future__ import annotations

from tinytx.train.corpus.grammar import Table
from tinytx.train.corpus.templates import Weighted, read_words

GIRLS = "Luz Ana / Rosa Julia / Alma"
BOYS = "Hugo Pablo / Juan Bruno / Teo"
PALS_M = "gato perro oso / pato búho / burro conejo"
PALS_F = "rana oveja vaca / gallina cabra / ardilla paloma"
PRIZES_M = "tambor libro / reloj / mapa"
PRIZES_F = "llave flauta / campana / caja"

WORDS = {
    "mood": """tímid list buen divertid curios seri tranquil simpátic risueñ orgullos / educad
        sabi gracios honrad cariños travies perezos nervios callad golos presumid sincer modest
        / despistad atrevid valeros chistos testarud generos coquet vanidos pensativ discret
        refinad bondados chiflad distraíd animos""",
    "fur": """pequeñ roj blanc negr viej gord flac / alt baj pelud mojad manchad pard / rayad
        canos menud dorad rubi""",
    "feel": """content cansad asustad / preocupad aburrid animad perdid helad / enfadad
        sorprendid mojad hambrient nervios emocionad""",
    "woe": "cansad asustad preocupad perdid / enfadad aburrid nervios / helad confundid",
    "glad": "content / orgullos / tranquil",
    "adj": """roj viej pequeñ nuev blanc negr amarill bonit rar larg redond / dorad rot sec limpi
        suci pesad liger extrañ curv plan morad rosad cort mojad gastad fin /
        oxidad torcid pintad rayad manchad cuadrad plegad huec mágic tibi cómod ruidos platead
        prestad remendad olvidad pegajos delgad precios valios antigu bordad astillad luminos
        diminut bland dur lis anch chat robust tiern espes salad
        vistos terros abollad doblad cosid trenzad arrugad templad arañad
        peinad fresc clar oscur brillos enroscad partid encerad perfumad""",
    "mat": """de_madera de_lata de_papel de_lana de_plata de_oro y_azul y_verde y_gris / de_tela
        de_piedra de_vidrio de_cobre de_barro de_seda de_cuero / de_trapo de_corcho de_bambú
        de_hierro de_nácar de_cera de_caña y_marrón""",
    "thing_m": """libro vaso tambor cubo mapa gorro / sombrero farol bolso baúl banco reloj /
        carro violín peine tren remo barril disco""",
    "thing_f": """taza caja silla mesa llave pelota / bota campana manta olla bolsa carta /
        lámpara escoba flor vela red flauta gorra""",
    "smalls_m": """clavos botones dados lápices libros huevos / patos peces vasos globos gatos /
        sellos corchos gorros""",
    "smalls_f": """nueces llaves piedras cartas monedas peras / flores tazas plumas hojas conchas
        / cintas manzanas perlas""",
    "num": "dos tres cuatro / cinco seis / siete diez",
    "place_m": """molino lago río bosque puente mercado jardín pueblo / huerto puerto patio valle
        castillo faro parque / prado museo teatro camino monte canal""",
    "place_f": """casa plaza granja playa torre cueva colina / escuela fuente calle isla aldea
        posada tienda / laguna cabaña bahía ciudad mina viña""",
    "cal": """oscur tranquil vací estrech nevad bonit nuev lluvios solead / sombrí húmed frí
        escondid encantad alt hond silencios / solitari rocos fangos florid
        dormid blanc ventos perdid cerrad modern empinad umbrí roj musgos""",
    "pre": "viej antigu / pequeñ lejan hermos / famos extrañ precios",
    "spot_m": """árbol pozo muro banco seto pino poste tronco / arco roble charco portón carro
        arbusto / buzón nido sauce rosal toldo""",
    "spot_f": """puerta verja roca valla estatua fuente piedra cerca / tapia higuera farola
        escalera noria / palmera encina zanja losa""",
    "critter_m": "grillo caracol mosquito / cuervo jilguero gusano / mirlo ganso lagarto cangrejo",
    "critter_f": "abeja mosca polilla / araña hormiga / gaviota lechuza trucha avispa",
    "did": """cantaba dormía bailaba jugaba / comía soñaba esperaba reía / bostezaba saltaba leía
        temblaba silbaba""",
    "went": """caminó corrió fue saltó marchó paseó trotó / avanzó viajó anduvo bailó subió /
        galopó rodó cojeó vagó remó desfiló""",
    "adv": """despacio deprisa en_silencio con_cuidado sin_miedo con_calma a_saltos / de_puntillas
        con_gracia sin_prisa con_ganas a_ciegas en_paz a_oscuras / con_arte a_trompicones
        con_pena sin_ruido con_afán de_lado a_su_modo con_garbo de_broma""",
    "prep": "por hacia sobre / tras bajo / ante",
    "prep_a": "junto frente",
    "prep_d": "cerca detrás / delante lejos / debajo dentro",
    "saw": "vio / encontró",
    "loved": "adoraba / buscaba / comía",
    "food_a": """pan sopa queso arroz maíz sal pollo / lentejas patatas ajo setas judías tomates /
        puré garbanzos nabos atún ensalada migas""",
    "food_b": """miel peras tarta leche uvas nueces té / manzanas ciruelas cacao fresas flan
        moras / zumo melón dátiles bizcocho natillas turrón""",
    "smell": "lluvia humo menta / pino barro heno / mar rosas jabón",
    "cloth": "de_lana de_seda de_tela y_azul y_verde / de_cuero de_cuadros y_gris",
    "job": "panader jardiner mariner cociner / maestr carter granjer / moliner zapater relojer",
    "sort": """fría gris tibia clara lluviosa / ventosa tranquila nublada dorada serena /
        extraña nevada bonita""",
    "dayp": "mañana tarde noche / madrugada",
    "month": "mayo junio abril / marzo octubre / julio agosto",
    "weekday": "lunes domingo viernes sábado / martes jueves miércoles",
    "kin_m": "padre hermano tío / abuelo primo / vecino maestro",
    "kin_f": "madre hermana tía abuela / prima vecina maestra sobrina madrina",
    "skill": "cantar bailar nadar / leer pintar cocinar / silbar pescar",
    "clothes_m": "gorro abrigo / sombrero / chaleco",
    "clothes_f": "bufanda camisa / gorra capa / chaqueta",
    "excl": "Ay Vaya Oh / Mira Hola / Caramba Bravo Madre_mía Qué_bien",
    "tag": """dijo gritó susurró contestó cantó / murmuró suspiró respondió añadió / exclamó
        repitió""",
    "asked": "preguntó dijo gritó / susurró murmuró / exclamó",
    "sound": "Pum Plaf Clic Toc Bum / Zas Crac / Chof Paf",
    "tool": "cola cuerda tela / clavos cinta / pintura barro",
    "machine": "una_cometa un_barco / un_reloj / un_robot",
    "race": "canto / baile tartas / sacos",
    "way": "norte sur este oeste",
    "sky": "azul gris / rosa blanco / verde dorado",
    "wx": "lluvia nieve / niebla",
    "fell": "caía / bailaba",
    "cough": "una_tos una_risa / un_canto un_suspiro",
    "laughed": "rió sonrió / asintió parpadeó",
    "cons": "l m n r s / b d y / v f",
    "vowel": "a o i / e u",
    "digit": "1 2 3 4 5 6 7 8 9 / 0",
    "digit1": "1 2 3 4 5 6 7 8 9",
    "hour": "7: 8: 9: 10: 6: 5: / 11: 12: 4: 3: 2:",
    "tens": "0 3 / 1 2 4 5",
}


def word_classes() -> dict[str, Weighted]:
    """Return each class x, and Cap_x: the same words with a capital letter."""
    classes: dict[str, Weighted] = {}
    for name, source in WORDS.items():
        words = classes[name] = read_words(source)
        classes[f"Cap_{name}"] = tuple((w, word[0].upper() + word[1:]) for w, word in words)
    return classes


def _noun(noun: str, feminine: bool) -> dict[str, str]:
    """Return the forms of a noun with its articles, and the vowel of its adjectives."""
    the, vowel = ("la", "a") if feminine else ("el", "o")
    return {
        "it": noun,
        "a": f"{'una' if feminine else 'un'} {noun}",
        "the": f"{the} {noun}",
        "The": f"{the.capitalize()} {noun}",
        "to": f"{'a la' if feminine else 'al'} {noun}",
        "of": f"{'de la' if feminine else 'del'} {noun}",
        "lo": "la" if feminine else "lo",
        "o": vowel,
    }


def _hero(name: str, feminine: bool) -> dict[str, str]:
    kid, vowel = ("una niña llamada", "a") if feminine else ("un niño llamado", "o")
    return {
        "name": name,
        "kid": f"{kid} {name}",
        "o": vowel,
        "the": "la" if feminine else "el",
        "a": "una" if feminine else "un",
    }


def tables() -> dict[str, Table]:
    """Return the variables: the hero, the animal met, the thing that matters."""
    heroes = [(w, _hero(n, True)) for w, n in read_words(GIRLS)]
    heroes += [(w, _hero(n, False)) for w, n in read_words(BOYS)]
    pals = [(w, _noun(n, False)) for w, n in read_words(PALS_M)]
    pals += [(w, _noun(n, True)) for w, n in read_words(PALS_F)]
    prizes = [(w, _noun(n, False)) for w, n in read_words(PRIZES_M)]
    prizes += [(w, _noun(n, True)) for w, n in read_words(PRIZES_F)]
    return {"hero": tuple(heroes), "pal": tuple(pals), "prize": tuple(prizes)}
