using System.Runtime.CompilerServices;

namespace ByteStreams.Groups;

/// <summary>Validates the names of groups, users and connections.</summary>
internal static class TargetName
{
    /// <summary>Validates a name. Hosts exchange names as UTF-8, which cannot encode an unpaired surrogate.</summary>
    /// <exception cref="ArgumentException">The name is null, empty, or contains an unpaired surrogate.</exception>
    public static void Check(string name, [CallerArgumentExpression(nameof(name))] string argument = "")
    {
        ArgumentException.ThrowIfNullOrEmpty(name, argument);
        int at = name.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF');
        for (; at >= 0 && at < name.Length; at++)
        {
            if (!char.IsSurrogate(name[at]))
            {
                continue;
            }

            if (at + 1 == name.Length || !char.IsSurrogatePair(name[at], name[at + 1]))
            {
                throw new ArgumentException($"The name is not valid Unicode: unpaired surrogate at index {at}.", argument);
            }

            at++;
        }
    }
}
