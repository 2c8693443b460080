namespace ByteStreams.Testing;

/// <summary>What a <see cref="ChaosRelay"/> does. Without any setting it splits what it passes on at random places, and loses nothing.</summary>
/// <remarks>Options are read once, when the relay starts. Chances are from 0 (never) to 1 (always).</remarks>
public sealed class ChaosOptions
{
    private double _pauseChance;
    private double _coalesceChance;
    private double _stallChance;
    private double _resetChance;
    private double _halfCloseChance;
    private double _dropChance;

    /// <summary>
    /// What all that is random is made from, a new one each time by default: <see cref="ChaosRelay.Seed"/> and its
    /// <c>ToString()</c> tell it. The same seed does the same to the same bytes of the connection with the same number.
    /// </summary>
    public int Seed { get; set; } = Random.Shared.Next();

    /// <summary>The exact steps, instead of random ones. Null by default; where it is set, the chances below are not looked at.</summary>
    public ChaosPlan? Plan { get; set; }

    /// <summary>The clock of pauses and of held bytes. <see cref="TimeProvider.System"/> by default.</summary>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    /// <summary>The smallest piece, in bytes: 1 by default, at least 1.</summary>
    public int MinPiece { get; set; } = 1;

    /// <summary>The largest piece, in bytes: 4,096 by default, at least <see cref="MinPiece"/>. 1 sends byte by byte, which costs two system calls each.</summary>
    public int MaxPiece { get; set; } = 4096;

    /// <summary>The chance of a pause behind a piece. 0 by default.</summary>
    public double PauseChance { get => _pauseChance; set => _pauseChance = Chance(value); }

    /// <summary>The longest such pause: 20 ms by default, at least zero.</summary>
    public TimeSpan MaxPause { get; set; } = TimeSpan.FromMilliseconds(20);

    /// <summary>The chance that a piece is held until it is whole, for <see cref="Hold"/> at most. 0 by default.</summary>
    public double CoalesceChance { get => _coalesceChance; set => _coalesceChance = Chance(value); }

    /// <summary>How long such a piece is held at most: 5 ms by default, at least zero. A peer that waits for an answer waits for it too.</summary>
    public TimeSpan Hold { get; set; } = TimeSpan.FromMilliseconds(5);

    /// <summary>The chance that a direction of a connection stalls for good, somewhere in its first <see cref="EndWithin"/> bytes. 0 by default.</summary>
    public double StallChance { get => _stallChance; set => _stallChance = Chance(value); }

    /// <summary>The chance that a direction resets its connection there. 0 by default.</summary>
    public double ResetChance { get => _resetChance; set => _resetChance = Chance(value); }

    /// <summary>The chance that a direction is ended there. 0 by default.</summary>
    public double HalfCloseChance { get => _halfCloseChance; set => _halfCloseChance = Chance(value); }

    /// <summary>The chance that a direction is dropped from there on. 0 by default.</summary>
    public double DropChance { get => _dropChance; set => _dropChance = Chance(value); }

    /// <summary>Where stalls, resets, half-closes and drops happen: within so many bytes of a direction's begin. 65,536 by default, at least 1.</summary>
    public int EndWithin { get; set; } = 65536;

    /// <summary>Throws where options contradict each other, naming the option and the remedy.</summary>
    internal void Validate()
    {
        if (MinPiece < 1 || MaxPiece < MinPiece)
        {
            throw new ArgumentException($"MinPiece ({MinPiece}) is at least 1, and MaxPiece ({MaxPiece}) at least MinPiece.");
        }

        if (MaxPause < TimeSpan.Zero || Hold < TimeSpan.Zero)
        {
            throw new ArgumentException("MaxPause and Hold are zero or more.");
        }

        if (EndWithin < 1)
        {
            throw new ArgumentException($"EndWithin ({EndWithin}) is at least 1.");
        }

        if (StallChance + ResetChance + HalfCloseChance + DropChance > 1)
        {
            throw new ArgumentException("StallChance, ResetChance, HalfCloseChance and DropChance are together at most 1: a direction ends only once.");
        }
    }

    /// <summary>The plan in effect, which nobody can change any more.</summary>
    internal ChaosPlan Resolve()
    {
        Validate();
        if (Plan is not null)
        {
            return Plan;
        }

        var kept = (ChaosOptions)MemberwiseClone();
        return (connection, direction) => RandomSteps(kept, connection, direction);
    }

    private static IEnumerable<ChaosStep> RandomSteps(ChaosOptions options, int connection, ChaosDirection direction)
    {
        // An odd factor each, so that neighbours have nothing in common.
        var random = new Random(unchecked((options.Seed * (int)2654435769) ^ ((connection * 2) + (int)direction) * 40503));
        (ChaosAction end, TimeSpan endFor) = End(options, random.NextDouble());
        long left = end == ChaosAction.Continue ? long.MaxValue : random.Next(options.EndWithin);
        while (true)
        {
            int bytes = random.Next(options.MinPiece, options.MaxPiece == int.MaxValue ? int.MaxValue : options.MaxPiece + 1);
            TimeSpan hold = random.NextDouble() < options.CoalesceChance ? options.Hold : TimeSpan.Zero;
            bool pauses = random.NextDouble() < options.PauseChance;
            TimeSpan pause = options.MaxPause * random.NextDouble();
            if (bytes >= left)
            {
                yield return new ChaosStep((int)left, end, endFor, hold);
                yield break;
            }

            left -= bytes;
            yield return new ChaosStep(bytes, pauses ? ChaosAction.Pause : ChaosAction.Continue, pause, hold);
        }
    }

    private static (ChaosAction End, TimeSpan For) End(ChaosOptions options, double dice)
    {
        if ((dice -= options.StallChance) < 0)
        {
            return (ChaosAction.Pause, Timeout.InfiniteTimeSpan);
        }

        return (dice -= options.ResetChance) < 0 ? (ChaosAction.Reset, default)
            : (dice -= options.HalfCloseChance) < 0 ? (ChaosAction.HalfClose, default)
            : dice - options.DropChance < 0 ? (ChaosAction.Drop, default)
            : (ChaosAction.Continue, default);
    }

    private static double Chance(double value) =>
        value is >= 0 and <= 1 ? value : throw new ArgumentOutOfRangeException(nameof(value), value, "A chance is from 0 to 1.");
}
