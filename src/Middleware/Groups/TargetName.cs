using System.Runtime.CompilerServices;

namespace ByteStreams.Groups;

/// <summary>The check of the names of groups, users and connections.</summary>
internal static class TargetName
{
    /// <summary>Throws if a name is null or empty, or is no text: between hosts names are UTF-8, which cannot express half a surrogate pair.</summary>
    /// <exception cref="ArgumentException">It is.</exception>
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
                throw new ArgumentException($"The name is not valid Unicode: the character at {at} is half of a surrogate pair.", argument);
            }

            at++;
        }
    }
}
