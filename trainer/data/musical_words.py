"""The musical vocabulary: moods, tempos, dynamics, genres, instruments, occasions; with the authors' ratings where there are no norms.

VA are on the scale of Warriner's norms mapped to [0, 1], where neutral words have about .51 and .40. Shifts are added to a caption's VA.
"""

# Moods of one word; their VA is that of the norms, if they have the word.
_MOODS = """
calm furious euphoric melancholic majestic mysterious dramatic whimsical haunting exuberant soothing aggressive dreamy
energetic happy sad angry joyful gloomy serene peaceful relaxed relaxing tense anxious nervous scary eerie ominous dark bright
cheerful playful romantic sentimental nostalgic bittersweet hopeful uplifting inspiring triumphant heroic solemn mournful
sorrowful tragic lonely desolate bleak tender warm gentle soft sweet delicate intimate passionate sensual sexy seductive groovy
funky lively festive celebratory fiery intense powerful fierce violent brutal chaotic frantic frenetic hectic wild manic
restless agitated urgent relentless hypnotic meditative contemplative reflective pensive wistful yearning
introspective ethereal celestial heavenly spiritual sacred reverent noble regal stately grand glorious magical enchanting
mystical spooky creepy sinister menacing threatening suspenseful disturbing unsettling dissonant harsh cold sleepy drowsy lazy
mellow tranquil quiet chill lush airy floating weightless carefree lighthearted humorous funny quirky silly goofy bouncy
jaunty perky upbeat optimistic sunny radiant ecstatic elated blissful jubilant proud confident bold defiant rebellious angsty
bitter resentful hostile hateful despairing desperate hopeless depressing depressed miserable grim morbid macabre dull boring
monotonous plain neutral animated spirited vigorous vibrant exciting excited thrilling exhilarating adventurous
rousing anthemic soulful heartfelt emotional moving touching poignant heartbreaking melodramatic cinematic atmospheric hazy
murky brooding stormy turbulent tumultuous explosive raging wrathful savage rowdy raucous noisy blaring booming
thunderous deafening hushed subdued bombastic flamboyant graceful elegant sophisticated refined classy cool sleek cozy
comforting reassuring pastoral idyllic rustic tribal primal exotic dazzling shimmering sparkling glittering glowing
luminous mechanical robotic numb apathetic weary tired exhausted languid sluggish plodding heavy crushing oppressive
claustrophobic paranoid panicked terrifying horrifying frightening nightmarish apocalyptic ghostly otherworldly
alien cosmic futuristic delighted pleasant beautiful lovely merry blue grieving horrific painful evil epic motionless sleepy
frenzied ferocious enraged irate mad hysterical scared afraid worried stressful annoying irritating ugly disgusting
wonderful amazing awesome fun amusing charming innocent childlike loving affectionate caring kind friendly grateful
satisfied content cheery gleeful giddy rapturous rhapsodic zealous fervent valiant courageous victorious mighty
"""
MOODS = tuple(_MOODS.split())

# VA of moods that the norms lack or see otherwise than music does.
JUDGED: dict[str, tuple[float, float]] = {
    "melancholic": (0.28, 0.27), "melancholy": (0.27, 0.27), "haunting": (0.36, 0.46), "exuberant": (0.86, 0.72), "inspiring": (0.84, 0.55),
    "celebratory": (0.86, 0.67), "frenetic": (0.45, 0.74), "agitated": (0.27, 0.66), "driving": (0.58, 0.64),
    "meditative": (0.66, 0.17), "contemplative": (0.58, 0.23), "pensive": (0.48, 0.26), "wistful": (0.44, 0.27), "yearning": (0.46, 0.40),
    "longing": (0.44, 0.40), "introspective": (0.54, 0.25), "ethereal": (0.66, 0.27), "threatening": (0.20, 0.65),
    "suspenseful": (0.42, 0.65), "unsettling": (0.26, 0.52), "dissonant": (0.30, 0.52), "airy": (0.64, 0.24),
    "floating": (0.66, 0.22), "weightless": (0.66, 0.22), "lighthearted": (0.78, 0.43), "jaunty": (0.76, 0.54), "jubilant": (0.88, 0.71),
    "angsty": (0.29, 0.56), "macabre": (0.22, 0.48), "anthemic": (0.74, 0.66), "moving": (0.66, 0.42), "touching": (0.68, 0.36),
    "tumultuous": (0.32, 0.68), "wrathful": (0.16, 0.72), "raucous": (0.52, 0.72), "blaring": (0.34, 0.70),
    "booming": (0.52, 0.66), "thunderous": (0.46, 0.72), "bombastic": (0.50, 0.68), "reassuring": (0.76, 0.25),
    "pastoral": (0.70, 0.20), "glittering": (0.74, 0.50), "glowing": (0.74, 0.40), "apathetic": (0.32, 0.18), "exhausted": (0.28, 0.18),
    "languid": (0.48, 0.16), "plodding": (0.38, 0.22), "crushing": (0.26, 0.62), "panicked": (0.18, 0.72), "nightmarish": (0.14, 0.66),
    "apocalyptic": (0.22, 0.70), "otherworldly": (0.56, 0.42), "futuristic": (0.60, 0.52), "epic": (0.70, 0.68), "dreamy": (0.72, 0.26),
    "mellow": (0.69, 0.20), "chill": (0.66, 0.20), "soft": (0.68, 0.19), "hypnotic": (0.54, 0.34), "brooding": (0.32, 0.36),
    "soulful": (0.70, 0.40), "intense": (0.52, 0.72), "aggressive": (0.28, 0.74), "dramatic": (0.50, 0.64), "heavy": (0.40, 0.56),
    "wild": (0.58, 0.72), "funky": (0.74, 0.62), "groovy": (0.76, 0.58), "bouncy": (0.76, 0.60), "driven": (0.60, 0.60),
    "easy going": (0.73, 0.25), "easygoing": (0.73, 0.25), "laid back": (0.71, 0.21), "feel good": (0.84, 0.54), "high energy": (0.69, 0.77),
    "low key": (0.58, 0.20), "upbeat": (0.82, 0.63), "light hearted": (0.78, 0.43), "down tempo": (0.56, 0.22), "hard hitting": (0.46, 0.75),
    "heart wrenching": (0.24, 0.45), "heart warming": (0.82, 0.40), "tear jerking": (0.28, 0.42), "larger than life": (0.68, 0.68),
    "bone chilling": (0.20, 0.64), "spine tingling": (0.44, 0.64), "edgy": (0.42, 0.62), "full of hope": (0.82, 0.46),
    "full of joy": (0.89, 0.62), "full of life": (0.84, 0.64), "full of rage": (0.16, 0.80), "full of sorrow": (0.18, 0.34),
    "at peace": (0.80, 0.14), "in love": (0.86, 0.50), "broken hearted": (0.18, 0.36), "adrenaline fuelled": (0.60, 0.84),
    "slow burning": (0.54, 0.32), "head banging": (0.54, 0.80), "toe tapping": (0.76, 0.60), "foot stomping": (0.72, 0.70),
    "sun drenched": (0.80, 0.40), "sunny": (0.82, 0.48), "late night": (0.56, 0.28), "dance floor": (0.76, 0.70), "danceable": (0.76, 0.66),
    "party ready": (0.80, 0.74), "sleep inducing": (0.56, 0.09), "still": (0.56, 0.14), "motionless": (0.46, 0.12), "frantic": (0.34, 0.76),
    "atmospheric": (0.60, 0.27), "cinematic": (0.64, 0.46), "bittersweet": (0.48, 0.36), "poignant": (0.50, 0.36), "neutral": (0.51, 0.38),
    "serene": (0.78, 0.15), "peaceful": (0.84, 0.14), "relaxing": (0.84, 0.14), "raging": (0.20, 0.76), "rowdy": (0.48, 0.68),
    "ecstatic": (0.86, 0.74), "enraged": (0.16, 0.74), "furious": (0.18, 0.76), "irate": (0.20, 0.68), "beautiful": (0.83, 0.42),
    "deafening": (0.30, 0.72), "savage": (0.28, 0.72), "frenzied": (0.38, 0.76), "loving": (0.84, 0.40), "caring": (0.82, 0.32),
    "gleeful": (0.84, 0.62), "rapturous": (0.84, 0.66), "rhapsodic": (0.78, 0.58), "zealous": (0.54, 0.62), "fervent": (0.60, 0.62),
    "relentless": (0.46, 0.66), "restless": (0.36, 0.56), "explosive": (0.46, 0.78), "victorious": (0.82, 0.66), "tribal": (0.54, 0.56),
    "plain": (0.51, 0.30), "blue": (0.34, 0.28), "cool": (0.68, 0.36), "cold": (0.36, 0.30), "numb": (0.32, 0.20), "hectic": (0.34, 0.70),
    "robotic": (0.44, 0.48), "mechanical": (0.45, 0.48), "moving forward": (0.64, 0.56), "majestic": (0.76, 0.56), "heavenly": (0.82, 0.30),
    "content": (0.78, 0.24), "powerful": (0.66, 0.70), "fierce": (0.40, 0.74), "vigorous": (0.64, 0.70), "manic": (0.44, 0.80),
    "rebellious": (0.44, 0.66), "sombre": (0.26, 0.22), "somber": (0.26, 0.22), "cosy": (0.78, 0.20), "tearful": (0.24, 0.38),
}  # fmt: skip

# Tempos and beats: shifts of valence and arousal.
TEMPOS: dict[str, tuple[float, float]] = {
    "fast": (0.04, 0.19), "slow": (-0.03, -0.17), "moderate": (0.0, -0.02), "mid-tempo": (0.01, 0.0), "medium": (0.0, 0.0),
    "very fast": (0.03, 0.25), "very slow": (-0.05, -0.21), "quick": (0.04, 0.17), "rapid": (0.02, 0.19), "brisk": (0.05, 0.15),
    "lively": (0.08, 0.17), "racing": (0.02, 0.22), "breakneck": (-0.01, 0.26), "pounding": (-0.01, 0.21), "galloping": (0.03, 0.20),
    "steady": (0.02, -0.03), "relaxed": (0.05, -0.14), "leisurely": (0.05, -0.14), "unhurried": (0.04, -0.14), "dragging": (-0.08, -0.15),
    "sluggish": (-0.07, -0.16), "languid": (-0.02, -0.17), "crawling": (-0.07, -0.17), "halting": (-0.05, -0.08), "swinging": (0.08, 0.08),
    "uptempo": (0.07, 0.17), "up-tempo": (0.07, 0.17), "downtempo": (0.0, -0.14), "driving": (0.03, 0.18), "accelerating": (0.0, 0.14),
    "slowing": (-0.02, -0.11), "bouncing": (0.08, 0.14), "pulsing": (0.02, 0.11), "syncopated": (0.04, 0.09), "walking": (0.02, -0.03),
    "allegro": (0.05, 0.15), "presto": (0.03, 0.21), "vivace": (0.07, 0.18), "andante": (0.02, -0.08), "adagio": (-0.02, -0.16),
    "largo": (-0.03, -0.18), "lento": (-0.03, -0.17), "grave": (-0.09, -0.13), "prestissimo": (0.0, 0.25),
}  # fmt: skip

# Dynamics and energy.
DYNAMICS: dict[str, tuple[float, float]] = {
    "loud": (-0.02, 0.17), "quiet": (0.02, -0.16), "soft": (0.04, -0.15), "hushed": (0.01, -0.17), "whispered": (0.01, -0.16),
    "muted": (-0.02, -0.13), "distorted": (-0.09, 0.17), "screaming": (-0.12, 0.24), "roaring": (-0.05, 0.22), "deafening": (-0.11, 0.22),
    "crashing": (-0.06, 0.20), "hard": (-0.04, 0.14), "heavy": (-0.05, 0.13), "light": (0.06, -0.08), "gentle": (0.07, -0.16),
    "delicate": (0.05, -0.15), "powerful": (0.03, 0.16), "high-energy": (0.06, 0.22), "low-energy": (-0.02, -0.18), "building": (0.02, 0.10),
    "swelling": (0.03, 0.08), "fading": (-0.04, -0.12), "sparse": (-0.02, -0.12), "dense": (-0.01, 0.08), "minimal": (0.0, -0.12),
    "forte": (0.01, 0.14), "fortissimo": (0.0, 0.20), "piano": (0.0, -0.04), "pianissimo": (0.01, -0.18), "crescendo": (0.02, 0.12),
    "thundering": (-0.03, 0.20), "punchy": (0.02, 0.15), "energetic": (0.08, 0.20), "lifeless": (-0.14, -0.16), "shrill": (-0.12, 0.12),
    "droning": (-0.08, -0.08), "sustained": (0.0, -0.08), "staccato": (0.0, 0.07), "legato": (0.02, -0.07), "acoustic": (0.04, -0.07),
    "unplugged": (0.04, -0.07), "amplified": (-0.01, 0.10), "bass-heavy": (-0.01, 0.12), "echoing": (-0.02, -0.04), "lo-fi": (0.03, -0.12),
}  # fmt: skip

GENRES: dict[str, tuple[float, float]] = {
    "rock": (0.02, 0.09), "pop funk": (0.10, 0.11), "ambient": (0.05, -0.17), "classic metal": (-0.06, 0.17), "electronic": (0.02, 0.07),
    "hip hop": (0.0, 0.06), "country": (0.04, 0.0), "jazz": (0.05, -0.02), "pop": (0.07, 0.06), "funk": (0.09, 0.12), "soul": (0.06, 0.0),
    "blues": (-0.06, -0.04), "heavy metal": (-0.10, 0.23), "death metal": (-0.22, 0.27), "black metal": (-0.22, 0.23), "doom metal": (-0.20, 0.06),
    "thrash metal": (-0.14, 0.27), "metal": (-0.09, 0.20), "metalcore": (-0.14, 0.24), "hard rock": (-0.02, 0.16), "punk": (-0.04, 0.20),
    "punk rock": (-0.03, 0.20), "hardcore": (-0.12, 0.24), "grunge": (-0.09, 0.12), "indie rock": (0.02, 0.05), "indie": (0.03, 0.0),
    "alternative rock": (-0.01, 0.08), "progressive rock": (0.01, 0.05), "psychedelic rock": (0.01, 0.05), "folk": (0.05, -0.07),
    "folk rock": (0.04, 0.0), "bluegrass": (0.09, 0.08), "classical": (0.03, -0.06), "baroque": (0.04, -0.02), "romantic": (0.06, -0.04),
    "opera": (0.0, 0.05), "chamber": (0.02, -0.07), "orchestral": (0.03, 0.03), "symphonic": (0.03, 0.06), "choral": (0.03, -0.07),
    "gospel": (0.10, 0.08), "hymn": (0.05, -0.09), "requiem": (-0.16, -0.08), "lullaby": (0.10, -0.23), "nursery rhyme": (0.12, -0.05),
    "waltz": (0.07, -0.02), "march": (0.02, 0.10), "tango": (0.02, 0.10), "salsa": (0.12, 0.16), "samba": (0.13, 0.16), "bossa nova": (0.10, -0.07),
    "reggae": (0.10, -0.03), "ska": (0.10, 0.13), "dub": (0.02, -0.05), "dancehall": (0.07, 0.14), "flamenco": (0.03, 0.12), "latin": (0.10, 0.10),
    "afrobeat": (0.09, 0.13), "celtic": (0.06, 0.0), "klezmer": (0.04, 0.08), "polka": (0.10, 0.11), "mariachi": (0.09, 0.09), "cumbia": (0.10, 0.11),
    "disco": (0.12, 0.16), "house": (0.08, 0.15), "deep house": (0.06, 0.06), "techno": (0.01, 0.18), "trance": (0.06, 0.13), "dubstep": (-0.06, 0.20),
    "drum and bass": (0.01, 0.21), "breakbeat": (0.02, 0.14), "industrial": (-0.14, 0.17), "synthpop": (0.06, 0.08), "synthwave": (0.04, 0.05),
    "new wave": (0.03, 0.06), "edm": (0.09, 0.19), "hardstyle": (-0.02, 0.25), "gabber": (-0.10, 0.28), "noise": (-0.22, 0.17),
    "drone": (-0.08, -0.14), "dark ambient": (-0.16, -0.10), "chillout": (0.09, -0.16), "chillwave": (0.07, -0.13), "trip hop": (-0.01, -0.07),
    "lo-fi hip hop": (0.06, -0.15), "new age": (0.09, -0.19), "meditation": (0.10, -0.22), "spa": (0.11, -0.21), "easy listening": (0.09, -0.14),
    "lounge": (0.08, -0.13), "swing": (0.12, 0.11), "big band": (0.10, 0.11), "bebop": (0.05, 0.10), "smooth jazz": (0.09, -0.13),
    "ragtime": (0.10, 0.07), "rhythm and blues": (0.05, 0.0), "r&b": (0.05, -0.01), "rap": (-0.04, 0.10), "trap": (-0.07, 0.08),
    "gangsta rap": (-0.12, 0.14), "grime": (-0.09, 0.15), "emo": (-0.11, 0.06), "goth": (-0.13, 0.02), "shoegaze": (0.0, 0.0), "post-rock": (0.0, 0.0),
    "ballad": (0.01, -0.11), "rock and roll": (0.09, 0.15), "rockabilly": (0.09, 0.14), "surf rock": (0.09, 0.12), "soundtrack": (0.01, 0.0),
    "film score": (0.01, 0.02), "horror soundtrack": (-0.24, 0.14), "video game": (0.05, 0.08), "cartoon": (0.11, 0.09), "christmas": (0.15, 0.02),
    "world": (0.05, 0.0), "experimental": (-0.05, 0.03), "minimalist": (0.01, -0.10), "instrumental": (0.0, -0.02), "acoustic": (0.05, -0.09),
    "dance": (0.11, 0.17), "k-pop": (0.11, 0.13), "j-pop": (0.11, 0.11), "bollywood": (0.11, 0.10), "dirge": (-0.24, -0.10), "elegy": (-0.18, -0.11),
    "anthem": (0.07, 0.08), "serenade": (0.10, -0.08), "nocturne": (0.02, -0.16), "prelude": (0.02, -0.06), "fanfare": (0.10, 0.16),
}  # fmt: skip

INSTRUMENTS: dict[str, tuple[float, float]] = {
    "no instrument": (0.0, -0.04), "electric guitar": (0.0, 0.08), "male vocalist": (0.0, 0.0), "female vocalist": (0.02, 0.0), "violin": (0.0, 0.0),
    "piano": (0.02, -0.05), "saxophone": (0.03, 0.0), "bass guitar": (0.0, 0.02), "drum": (0.01, 0.08), "acoustic guitar": (0.05, -0.06),
    "trumpet": (0.03, 0.07), "synthesiser": (0.0, 0.03), "synthesizer": (0.0, 0.03), "cello": (-0.04, -0.07), "double bass": (-0.01, -0.03),
    "viola": (-0.02, -0.04), "harp": (0.08, -0.12), "flute": (0.06, -0.08), "clarinet": (0.03, -0.04), "oboe": (0.0, -0.05), "bassoon": (0.0, -0.03),
    "french horn": (0.02, 0.0), "trombone": (0.01, 0.04), "tuba": (0.01, 0.01), "organ": (-0.03, -0.02), "church organ": (-0.02, -0.02),
    "harpsichord": (0.01, 0.0), "accordion": (0.05, 0.03), "harmonica": (0.01, -0.02), "banjo": (0.09, 0.08), "mandolin": (0.06, 0.02),
    "ukulele": (0.12, 0.0), "guitar": (0.03, 0.0), "distorted guitar": (-0.08, 0.18), "slide guitar": (0.01, -0.02), "steel guitar": (0.03, -0.02),
    "drums": (0.01, 0.09), "drum machine": (0.0, 0.07), "percussion": (0.02, 0.08), "bongos": (0.06, 0.08), "congas": (0.06, 0.09),
    "tambourine": (0.07, 0.06), "cymbals": (0.0, 0.08), "timpani": (-0.01, 0.10), "gong": (-0.02, 0.04), "marimba": (0.08, 0.0), "vibraphone": (0.05, -0.07),
    "xylophone": (0.09, 0.04), "glockenspiel": (0.09, -0.02), "bells": (0.06, 0.0), "wind chimes": (0.08, -0.14), "music box": (0.07, -0.14),
    "sitar": (0.03, -0.02), "tabla": (0.03, 0.03), "koto": (0.04, -0.08), "shakuhachi": (0.01, -0.12), "erhu": (-0.03, -0.06), "didgeridoo": (-0.01, -0.03),
    "bagpipes": (0.0, 0.06), "fiddle": (0.06, 0.06), "strings": (0.02, -0.02), "string quartet": (0.02, -0.04), "orchestra": (0.03, 0.04),
    "brass": (0.04, 0.09), "woodwinds": (0.04, -0.05), "choir": (0.03, -0.03), "vocals": (0.0, 0.0), "singer": (0.02, 0.0), "synth": (0.0, 0.04),
    "synth pad": (0.02, -0.12), "keyboard": (0.02, 0.0), "turntables": (0.01, 0.08), "sampler": (0.0, 0.03), "bass": (0.0, 0.03), "handclaps": (0.09, 0.09),
    "whistling": (0.09, 0.0), "humming": (0.04, -0.10), "beatbox": (0.04, 0.09), "theremin": (-0.07, 0.0), "lute": (0.04, -0.07), "lyre": (0.05, -0.08),
    "kalimba": (0.08, -0.09), "steel drums": (0.12, 0.07), "piccolo": (0.05, 0.03), "screamed vocals": (-0.20, 0.24), "rapper": (-0.02, 0.08),
}  # fmt: skip

# Occasions for music, and scenes that it accompanies.
OCCASIONS: dict[str, tuple[float, float]] = {
    "sunset": (0.14, -0.13), "sunrise": (0.15, -0.07), "road trip": (0.12, 0.08), "party": (0.17, 0.20), "wedding": (0.20, 0.07), "funeral": (-0.28, -0.10),
    "workout": (0.09, 0.25), "gym session": (0.08, 0.24), "yoga class": (0.13, -0.20), "birthday": (0.20, 0.12), "dinner": (0.12, -0.09),
    "candlelight dinner": (0.16, -0.10), "picnic": (0.16, -0.06), "beach": (0.17, -0.04), "summer day": (0.18, 0.02), "rainy day": (-0.07, -0.14),
    "winter night": (-0.01, -0.13), "storm": (-0.10, 0.16), "battle": (-0.16, 0.27), "war scene": (-0.26, 0.22), "car chase": (-0.03, 0.28),
    "car crash": (-0.30, 0.24), "horror film": (-0.26, 0.20), "nightmare": (-0.28, 0.18), "funeral procession": (-0.28, -0.08), "graveyard": (-0.24, -0.05),
    "bedtime": (0.10, -0.24), "sleep": (0.11, -0.27), "study session": (0.05, -0.12), "holiday": (0.18, 0.05), "christmas morning": (0.20, 0.06),
    "victory": (0.20, 0.20), "graduation": (0.19, 0.10), "break-up": (-0.20, -0.02), "goodbye": (-0.14, -0.06), "romance": (0.18, 0.04), "first kiss": (0.20, 0.14),
    "football match": (0.10, 0.22), "rave": (0.09, 0.26), "night club": (0.10, 0.22), "carnival": (0.16, 0.18), "parade": (0.14, 0.14), "forest": (0.11, -0.13),
    "mountain lake": (0.15, -0.17), "ocean": (0.13, -0.11), "city at night": (0.03, 0.02), "desert": (-0.02, -0.09), "starry sky": (0.15, -0.13),
    "baby": (0.16, -0.11), "children playing": (0.18, 0.10), "puppies": (0.21, 0.06), "old friend": (0.13, -0.05), "lonely walk": (-0.15, -0.13),
    "empty street": (-0.10, -0.12), "hospital": (-0.17, -0.01), "prison": (-0.23, 0.01), "protest": (-0.09, 0.17), "fireworks": (0.16, 0.20),
}  # fmt: skip

# {m}, {n} moods; {t} tempo; {d} dynamics; {g} genre; {i}, {j} instruments; {o} occasion; {x} a negated mood. The first four are the paper's.
PROMPT = (
    "This is a {g} music piece. The melody is being played by the {i} while {j} is playing in the background. The rhythm is {t}. "
    "The atmosphere is {m}."
)
TEMPLATES = (
    PROMPT,
    "The atmosphere is {m}.",
    "The rhythm is {t}.",
    "This is a {g} music piece.",
    "{m}",
    "{m} music",
    "a {m} song",
    "a {m} and {n} {g} song",
    "{m}, {n}, {t}",
    "a {t} {m} {i}",
    "a {m} {i} melody",
    "{t} {g}",
    "{g} music with {i} and {j}",
    "The mood is {m}, the tempo is {t}.",
    "something {m} for a {o}",
    "music for a {o}",
    "A {d}, {m} track with {i}.",
    "{d} {g} music",
    "an instrumental {g} piece that sounds {m}",
    "The song is {m}. It features a {d} {i} and a {t} beat.",
    "It is not {x}.",
    "not {x}",
    "a song that is not {x} but {m}",
    "{m} {g} with {d} {i}",
    "I want to hear something {m} and {n}.",
    "{m} background music for a {o}",
    "A {t} {g} song with {i}, it feels {m}.",
    "the {i} plays a {t}, {m} tune",
    "{d} and {t}",
    "very {m}",
    "this makes me feel {m}",
)
