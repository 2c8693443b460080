using System.Runtime.CompilerServices;
using System.Text;

namespace ByteStreams.Testing;

/// <summary>What cases of a contract demand; no test framework is needed.</summary>
internal static class Check
{
    public static void That(bool condition, [CallerArgumentExpression(nameof(condition))] string? expression = null)
    {
        if (!condition)
        {
            throw new ContractException($"expected that {expression}.");
        }
    }

    public static void Bytes(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual)
    {
        if (!expected.SequenceEqual(actual))
        {
            throw new ContractException($"expected {ByteText.Of(expected)}, and got {ByteText.Of(actual)}.");
        }
    }

    public static void Text(string expected, byte[] actual) => Bytes(Encoding.Latin1.GetBytes(expected), actual);

    public static async Task ThrowsAsync<TException>(Func<Task> action, [CallerArgumentExpression(nameof(action))] string? expression = null)
        where TException : Exception
    {
        try
        {
            await action().ConfigureAwait(false);
        }
        catch (TException)
        {
            return;
        }
        catch (Exception other)
        {
            throw new ContractException($"expected a {typeof(TException).Name} of {expression}, and it was a {other.GetType().Name}: {other.Message}", other);
        }

        throw new ContractException($"expected a {typeof(TException).Name} of {expression}, and there was none.");
    }

    public static Task ThrowsAsync<TException>(Action action, [CallerArgumentExpression(nameof(action))] string? expression = null)
        where TException : Exception =>
        ThrowsAsync<TException>(
            () =>
            {
                action();
                return Task.CompletedTask;
            },
            expression);
}
